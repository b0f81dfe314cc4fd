#ifndef CONCORDANT_LOOKUP_H
#define CONCORDANT_LOOKUP_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "table.h"

typedef struct {
    PyObject_HEAD
    Table table;
    Py_buffer positions;
    Py_buffer owners;
    Py_buffer index_of;  /* the index of each slot */
    PyObject *targets;   /* a tuple: the node of each slot, or None, so that one read finds it */
    PyObject *order;     /* a tuple: the nodes by index */
    PyObject *weakrefs;
} Lookup;

/* What HashRing is derived from: the look-ups on a table of points. */
extern PyTypeObject LookupType;

/* Raise UsageError for a key on a ring without nodes; returns NULL. */
PyObject *refuse_empty(void);

/* Place many keys: as an array of indices, or as a list of nodes. */
PyObject *Lookup_index_many(Lookup *self, PyObject *keys);
PyObject *Lookup_node_many(Lookup *self, PyObject *keys);

/* Load what the look-ups need of Python; returns 0, or -1 with an exception set. */
int lookup_init(void);

#endif
