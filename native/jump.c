/* Jump consistent hash; see concordant/placement/jump_lookup.py, its twin. */
#include "arrays.h"
#include "buckets.h"
#include "placer.h"

#define MULTIPLIER 2862933555777941757ULL

typedef struct {
    Placer head;
    const int32_t *index_of; /* of each bucket's node; one of the head's tables */
    int64_t buckets;
} JumpLookup;

static inline int64_t jump(uint64_t position, int64_t buckets)
{
    int64_t bucket = 0, following = 0;
    while (following < buckets) {
        bucket = following;
        position = position * MULTIPLIER + 1;
        /* Below 2**62, since the quotient is at most 2**31. */
        following = (int64_t)((double)(bucket + 1) *
                              ((double)(1LL << 31) / (double)((position >> 33) + 1)));
    }
    return bucket;
}

static void place_block(const Placer *placer, const uint64_t *positions, size_t count,
                        int32_t *out)
{
    const JumpLookup *self = (const JumpLookup *)placer;
    for (size_t i = 0; i < count; i++) {
        out[i] = self->index_of[jump(positions[i], self->buckets)];
    }
}

static PyObject *arm(JumpLookup *self, PyObject *arguments)
{
    PyObject *index_of, *order;
    Py_ssize_t buckets;
    if (!PyArg_ParseTuple(arguments, "OO!:_arm", &index_of, &PyTuple_Type, &order) ||
        placer_arm(&self->head, order) < 0) {
        return NULL;
    }
    const int32_t *places = placer_table(&self->head, index_of, sizeof *places, &buckets);
    if (places == NULL) {
        return NULL;
    }
    if (buckets > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "more buckets than 31 bits count");
        return NULL;
    }
    for (Py_ssize_t bucket = 0; bucket < buckets; bucket++) {
        if (!placer_has(&self->head, places[bucket])) {
            PyErr_SetString(PyExc_ValueError, "a bucket without a node");
            return NULL;
        }
    }
    self->index_of = places;
    self->buckets = buckets;
    self->head.place = buckets == 0 ? NULL : place_block;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"_arm", (PyCFunction)arm, METH_VARARGS, "Take each bucket's place in the order; once."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject JumpLookupType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "concordant._native.JumpLookup",
    .tp_doc = "Find the bucket to which a position jumps, in C.",
    .tp_base = &PlacerType,
    .tp_basicsize = sizeof(JumpLookup),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_methods = methods,
};
