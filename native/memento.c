/* MementoHash over JumpBackHash; see concordant/placement/memento_lookup.py, its twin. */
#include "arrays.h"
#include "buckets.h"
#include "mixing.h"
#include "placer.h"

#define KEPT (-1)

typedef struct {
    Placer head;
    /* The head's tables: how many buckets each removed one left, or KEPT, and the index of each
     * kept one's node. */
    const int32_t *replaced;
    const int32_t *index_of;
    uint32_t buckets;
    uint32_t octaves; /* the bits of the largest bucket */
} MementoLookup;

static inline int is_odd(uint32_t bits)
{
    bits ^= bits >> 16;
    bits ^= bits >> 8;
    bits ^= bits >> 4;
    return 0x6996 >> (bits & 15) & 1;
}

/* Return the largest power of two that is at most this; there is one. */
static inline uint32_t highest(uint32_t bits)
{
#if defined(__GNUC__)
    return (uint32_t)1 << (31 - __builtin_clz(bits));
#else
    while (bits & (bits - 1)) {
        bits &= bits - 1;
    }
    return bits;
#endif
}

static inline uint32_t jump_back(uint64_t position, uint32_t buckets, uint32_t all_octaves)
{
    uint64_t first = drawn(position, 0), draws = 2; /* halves of numbers that are used up */
    uint32_t octaves = (uint32_t)(first ^ first >> 32) & all_octaves;
    int odd = is_odd(octaves);
    for (; octaves; odd = !odd) {
        uint32_t low = highest(octaves);
        uint32_t bucket = low + ((uint32_t)(odd ? first >> 32 : first) & (low - 1));
        while (bucket >= low) {
            if (bucket < buckets) {
                return bucket;
            }
            uint64_t number = drawn(position, draws >> 1);
            bucket = (uint32_t)(draws & 1 ? number >> 32 : number) & (2 * low - 1);
            draws++;
        }
        octaves ^= low;
    }
    return 0;
}

/* Return number * below >> 64. */
static inline uint32_t scaled(uint64_t number, uint32_t below)
{
    uint64_t low = (number & UINT32_MAX) * below >> 32;
    return (uint32_t)(((number >> 32) * below + low) >> 32);
}

static inline uint32_t memento(const MementoLookup *self, uint64_t position)
{
    uint32_t bucket = jump_back(position, self->buckets, self->octaves);
    int32_t left;
    /* Each turn leaves fewer, and none comes back to a bucket: no two left as many. */
    while ((left = self->replaced[bucket]) != KEPT) {
        bucket = scaled(drawn(other_seed(position), bucket), (uint32_t)left);
        while (self->replaced[bucket] >= left) {
            bucket = (uint32_t)self->replaced[bucket];
        }
    }
    return bucket;
}

static void place_block(const Placer *placer, const uint64_t *positions, size_t count,
                        int32_t *out)
{
    const MementoLookup *self = (const MementoLookup *)placer;
    for (size_t i = 0; i < count; i++) {
        out[i] = self->index_of[memento(self, positions[i])];
    }
}

/* Check what a search in a wrong table would read beyond, or go round in. */
static int check_tables(const Placer *head, const int32_t *replaced, const int32_t *index_of,
                        Py_ssize_t buckets)
{
    unsigned char *seen = PyMem_Calloc((size_t)buckets + 1, 1);
    if (seen == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    int right = 1;
    for (Py_ssize_t bucket = 0; bucket < buckets && right; bucket++) {
        int32_t left = replaced[bucket];
        if (left == KEPT) {
            right = placer_has(head, index_of[bucket]);
        } else {
            right = left > 0 && left < buckets && !seen[left];
            seen[right ? left : 0] = 1;
        }
    }
    PyMem_Free(seen);
    if (!right) {
        PyErr_SetString(PyExc_ValueError, "a bucket without a node, or removed as no other can be");
        return -1;
    }
    return 0;
}

static PyObject *arm(MementoLookup *self, PyObject *arguments)
{
    PyObject *replaced, *index_of, *order;
    Py_ssize_t buckets, places;
    if (!PyArg_ParseTuple(arguments, "OOO!:_arm", &replaced, &index_of, &PyTuple_Type, &order) ||
        placer_arm(&self->head, order) < 0 ||
        (self->replaced = placer_table(&self->head, replaced, sizeof(int32_t), &buckets)) == NULL ||
        (self->index_of = placer_table(&self->head, index_of, sizeof(int32_t), &places)) == NULL) {
        return NULL;
    }
    if (buckets != places || buckets > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "tables of different lengths, or too long");
        return NULL;
    }
    if (check_tables(&self->head, self->replaced, self->index_of, buckets) < 0) {
        return NULL;
    }
    self->buckets = (uint32_t)buckets;
    while (self->octaves < self->buckets - (self->buckets > 0)) {
        self->octaves = self->octaves << 1 | 1;
    }
    self->head.place = buckets == 0 ? NULL : place_block;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"_arm", (PyCFunction)arm, METH_VARARGS,
     "Take what each removed bucket left, and each bucket's place in the order; once."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject MementoLookupType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "concordant._native.MementoLookup",
    .tp_doc = "Find the bucket of a position among those left, in C.",
    .tp_base = &PlacerType,
    .tp_basicsize = sizeof(MementoLookup),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_methods = methods,
};
