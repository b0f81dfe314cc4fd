/* What all kinds of placement have in common: positions become indices, a block at a time. */
#ifndef CONCORDANT_PLACER_H
#define CONCORDANT_PLACER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

#include "compiler.h"

/* So many keys are taken together, that the memory which one needs is on its way while others
 * are worked on. */
#define BLOCK 32

/* The head of every kind's object. After it was armed nothing in it changes, so batches over
 * memory run without the GIL, and threads share it. */
typedef struct Placer {
    PyObject_HEAD
    PyObject *order; /* a tuple: the nodes by index; NULL until it is armed */
    /* Write the owner's index of each of up to a block of positions; NULL while there are no
     * nodes to place on. */
    void (*place)(const struct Placer *self, const uint64_t *positions, size_t count,
                  int32_t *out);
    /* Memory that goes with the object, and how much it is. */
    void *tables[2];
    size_t held;
    PyObject *weakrefs;
} Placer;

/* `concordant._native.Placer`, with the look-ups; each kind is derived from it. */
extern PyTypeObject PlacerType;

/* Raise UsageError for a key where there are no nodes; returns NULL. */
PyObject *refuse_empty(void);

/* Take the nodes by index, once; returns 0, or -1 with an exception set. */
int placer_arm(Placer *self, PyObject *order);

/* Copy an array of items of this size into the tables; returns the copy, and stores how many
 * items it has, or NULL with an exception set. */
void *placer_table(Placer *self, PyObject *source, size_t itemsize, Py_ssize_t *count);

/* Tell whether a node has this index. */
static inline int placer_has(const Placer *self, int32_t index)
{
    return index >= 0 && index < PyTuple_GET_SIZE(self->order);
}

/* What a kind's own functions of these names begin or end with. */
int placer_traverse(Placer *self, visitproc visit, void *arg);
int placer_clear(Placer *self);
void placer_dealloc(Placer *self);

/* Place many keys: as an array of indices, or as a list of nodes. */
PyObject *placer_index_many(Placer *self, PyObject *keys);
PyObject *placer_node_many(Placer *self, PyObject *keys);

/* Load what all kinds need of Python; returns 0, or -1 with an exception set. */
int placer_init(void);

#endif
