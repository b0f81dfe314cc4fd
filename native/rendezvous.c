/* Rendezvous hashing, weighted; see concordant/placement/rendezvous_lookup.py, its twin. */
#include "rendezvous.h"

#ifdef HAVE_RENDEZVOUS

#include "arrays.h"
#include "mixing.h"
#include "placer.h"

#define TABLE_BITS 10
#define FRACTION_BITS 48
#define BELOW (63 - TABLE_BITS)
#define LOGS ((1 << TABLE_BITS) + 1)

__extension__ typedef unsigned __int128 Wide;

typedef struct {
    Placer head;
    /* The head's tables; without weights, or with equal ones, there are no units. */
    const uint64_t *seeds;
    const uint64_t *units;
    size_t nodes;
} RendezvousLookup;

/* log2(1 + i / 1024) * 2**48, which Python computes; filled when weights are first there. */
static uint64_t logs[LOGS];
static int logs_are_there;

static int take_logs(void)
{
    PyObject *table = attribute("concordant.placement.functions.rendezvous_lookup", "log_table");
    PyObject *made = table == NULL ? NULL : PyObject_CallNoArgs(table);
    Py_XDECREF(table);
    Py_buffer view;
    if (made == NULL || PyObject_GetBuffer(made, &view, PyBUF_SIMPLE) < 0) {
        Py_XDECREF(made);
        return -1;
    }
    Py_DECREF(made);
    int right = view.len == sizeof logs;
    if (right) {
        memcpy(logs, view.buf, sizeof logs);
        logs_are_there = 1;
    } else {
        PyErr_SetString(PyExc_ValueError, "a table of logarithms of another size");
    }
    PyBuffer_Release(&view);
    return right ? 0 : -1;
}

/* Return -log2((number + 1) / 2**64) * 2**48, interpolated. */
static inline uint64_t distance(uint64_t number)
{
    if (number == UINT64_MAX) {
        return 0;
    }
    number++;
    int exponent = 63 - __builtin_clzll(number);
    uint64_t mantissa = number << (63 - exponent) & (((uint64_t)1 << 63) - 1);
    uint64_t below = mantissa & (((uint64_t)1 << BELOW) - 1);
    const uint64_t *low = &logs[mantissa >> BELOW];
    uint64_t log = low[0] + (uint64_t)((Wide)(low[1] - low[0]) * below >> BELOW);
    return ((uint64_t)(64 - exponent) << FRACTION_BITS) - log;
}

static inline size_t best_of_equals(const RendezvousLookup *self, uint64_t position)
{
    uint64_t most = mix(position ^ self->seeds[0]);
    size_t found = 0;
    for (size_t i = 1; i < self->nodes; i++) {
        uint64_t number = mix(position ^ self->seeds[i]);
        found = number > most ? i : found;
        most = number > most ? number : most;
    }
    return found;
}

static inline size_t best(const RendezvousLookup *self, uint64_t position)
{
    uint64_t most = mix(position ^ self->seeds[0]), least = distance(most);
    size_t found = 0;
    for (size_t i = 1; i < self->nodes; i++) {
        uint64_t number = mix(position ^ self->seeds[i]), far = distance(number);
        Wide here = (Wide)far * self->units[found], there = (Wide)least * self->units[i];
        if (here < there || (here == there && number > most)) {
            found = i;
            most = number;
            least = far;
        }
    }
    return found;
}

static void place_equals(const Placer *placer, const uint64_t *positions, size_t count,
                         int32_t *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = (int32_t)best_of_equals((const RendezvousLookup *)placer, positions[i]);
    }
}

static void place_weighted(const Placer *placer, const uint64_t *positions, size_t count,
                           int32_t *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = (int32_t)best((const RendezvousLookup *)placer, positions[i]);
    }
}

/* One node's score for a position, and the node. */
typedef struct {
    uint64_t number;
    uint64_t far;
    size_t node;
} Score;

/* Tell whether a score is better than another one; of equal ones the earlier node's is. */
static inline int better(const RendezvousLookup *self, const Score *one, const Score *other)
{
    if (self->units != NULL) {
        Wide here = (Wide)one->far * self->units[other->node];
        Wide there = (Wide)other->far * self->units[one->node];
        if (here != there) {
            return here < there;
        }
    }
    return one->number > other->number;
}

/* Sort the best scores to the front of `found`, which has room for as many as are wanted. */
static void sort_best(const RendezvousLookup *self, uint64_t position, Score *found,
                      size_t wanted)
{
    size_t count = 0;
    for (size_t i = 0; i < self->nodes; i++) {
        Score score = {.number = mix(position ^ self->seeds[i]), .node = i};
        score.far = self->units == NULL ? 0 : distance(score.number);
        if (count == wanted && !better(self, &score, &found[count - 1])) {
            continue;
        }
        size_t at = count < wanted ? count++ : count - 1;
        for (; at > 0 && better(self, &score, &found[at - 1]); at--) {
            found[at] = found[at - 1];
        }
        found[at] = score;
    }
}

static PyObject *best_places(RendezvousLookup *self, PyObject *arguments)
{
    unsigned long long position;
    Py_ssize_t wanted;
    if (!PyArg_ParseTuple(arguments, "Kn:_best", &position, &wanted)) {
        return NULL;
    }
    if (wanted < 0 || (size_t)wanted > self->nodes) {
        PyErr_SetString(PyExc_ValueError, "more places than there are nodes");
        return NULL;
    }
    Score *found = PyMem_Malloc(((size_t)wanted + 1) * sizeof *found);
    PyObject *places = PyList_New(wanted);
    if (found == NULL || places == NULL) {
        PyMem_Free(found);
        Py_XDECREF(places);
        return PyErr_NoMemory();
    }
    if (wanted > 0) {
        sort_best(self, position, found, (size_t)wanted);
    }
    for (Py_ssize_t i = 0; places != NULL && i < wanted; i++) {
        PyObject *place = PyLong_FromSize_t(found[i].node);
        if (place == NULL) {
            Py_CLEAR(places);
        } else {
            PyList_SET_ITEM(places, i, place);
        }
    }
    PyMem_Free(found);
    return places;
}

static PyObject *arm(RendezvousLookup *self, PyObject *arguments)
{
    PyObject *seeds, *units, *order;
    Py_ssize_t nodes, weights;
    if (!PyArg_ParseTuple(arguments, "OOO!:_arm", &seeds, &units, &PyTuple_Type, &order) ||
        placer_arm(&self->head, order) < 0 ||
        (self->seeds = placer_table(&self->head, seeds, sizeof(uint64_t), &nodes)) == NULL ||
        (self->units = placer_table(&self->head, units, sizeof(uint64_t), &weights)) == NULL) {
        return NULL;
    }
    if (nodes != PyTuple_GET_SIZE(order) || (weights != 0 && weights != nodes) ||
        nodes > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "tables of different lengths");
        return NULL;
    }
    if (weights != 0 && !logs_are_there && take_logs() < 0) {
        return NULL;
    }
    self->nodes = (size_t)nodes;
    self->units = weights == 0 ? NULL : self->units;
    self->head.place = nodes == 0 ? NULL : weights == 0 ? place_equals : place_weighted;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"_arm", (PyCFunction)arm, METH_VARARGS, "Take each node's seed and weight; once."},
    {"_best", (PyCFunction)best_places, METH_VARARGS,
     "Return the places of the first nodes for a position, the best score first."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject RendezvousLookupType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "concordant._native.RendezvousLookup",
    .tp_doc = "Find the node with the best score, in C.",
    .tp_base = &PlacerType,
    .tp_basicsize = sizeof(RendezvousLookup),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_methods = methods,
};

#else

/* ISO C wants something in every file. */
typedef int nothing_here;

#endif
