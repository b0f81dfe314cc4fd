#include "lookup.h"

#include "arrays.h"
#include "errors.h"
#include "keys.h"

/* Up to so many nodes, those found are told apart by looking at each. */
#define FEW 16

PyObject *usage_error;

static PyObject *check_count; /* concordant.placement.nodes.check_count */


/* --- making it ---------------------------------------------------------------------------- */

static int take_buffer(PyObject *source, Py_buffer *buffer, Py_ssize_t itemsize)
{
    if (PyObject_GetBuffer(source, buffer, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    /* An empty array is anywhere. */
    if (buffer->len % itemsize || (buffer->len && (uintptr_t)buffer->buf % (uintptr_t)itemsize)) {
        PyErr_SetString(PyExc_ValueError, "a table of another item size");
        return -1;
    }
    return 0;
}

/* Check what a wrong table would make read beyond its end. */
static int check_tables(Lookup *self)
{
    Py_ssize_t slots = self->index_of.len / 4;
    const uint32_t *owners = self->owners.buf;
    const int32_t *index_of = self->index_of.buf;
    if (self->owners.len / 4 != self->positions.len / 8) {
        PyErr_SetString(PyExc_ValueError, "tables of different lengths");
        return -1;
    }
    for (size_t at = 0; at < self->table.size; at++) {
        if (owners[at] >= (size_t)slots || index_of[owners[at]] < 0 ||
            index_of[owners[at]] >= PyTuple_GET_SIZE(self->order)) {
            PyErr_SetString(PyExc_ValueError, "a point without a node");
            return -1;
        }
    }
    return 0;
}

/* Return a tuple of the node of each slot, or None where its index is none. */
static PyObject *targets_of(const Py_buffer *index_of, PyObject *order)
{
    const int32_t *index = index_of->buf;
    Py_ssize_t slots = index_of->len / 4;
    PyObject *targets = PyTuple_New(slots);
    for (Py_ssize_t slot = 0; targets != NULL && slot < slots; slot++) {
        int known = index[slot] >= 0 && index[slot] < PyTuple_GET_SIZE(order);
        PyTuple_SET_ITEM(targets, slot,
                         Py_NewRef(known ? PyTuple_GET_ITEM(order, index[slot]) : Py_None));
    }
    return targets;
}

static PyObject *Lookup_arm(Lookup *self, PyObject *arguments)
{
    PyObject *positions, *owners, *index_of, *order;
    if (!PyArg_ParseTuple(arguments, "OOOO!:_arm", &positions, &owners, &index_of, &PyTuple_Type,
                          &order)) {
        return NULL;
    }
    if (self->order != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a look-up is armed once");
        return NULL;
    }
    self->order = Py_NewRef(order);
    if (take_buffer(positions, &self->positions, 8) < 0 || take_buffer(owners, &self->owners, 4) < 0 ||
        take_buffer(index_of, &self->index_of, 4) < 0) {
        return NULL;
    }
    self->targets = targets_of(&self->index_of, order);
    if (self->targets == NULL) {
        return NULL;
    }
    Table table = {.positions = self->positions.buf,
                   .owners = self->owners.buf,
                   .size = (size_t)self->positions.len / 8};
    if (table.size > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "more points than 32 bits count");
        return NULL;
    }
    table.shift = 64 - table_bits(table.size);
    table.starts = PyMem_Malloc((((size_t)1 << (64 - table.shift)) + 1) * sizeof *table.starts);
    if (table.starts == NULL) {
        return PyErr_NoMemory();
    }
    table_index(&table);
    self->table = table;
    if (check_tables(self) < 0) {
        self->table.size = 0;
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *Lookup_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kw))
{
    return type->tp_alloc(type, 0);
}

static int Lookup_traverse(Lookup *self, visitproc visit, void *arg)
{
    Py_VISIT(self->targets);
    Py_VISIT(self->order);
    Py_VISIT(self->positions.obj);
    Py_VISIT(self->owners.obj);
    Py_VISIT(self->index_of.obj);
    return 0;
}

static int Lookup_clear(Lookup *self)
{
    self->table.size = 0;
    Py_CLEAR(self->targets);
    Py_CLEAR(self->order);
    PyBuffer_Release(&self->positions);
    PyBuffer_Release(&self->owners);
    PyBuffer_Release(&self->index_of);
    return 0;
}

static void Lookup_dealloc(Lookup *self)
{
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    Lookup_clear(self);
    PyMem_Free(self->table.starts);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* --- one key ------------------------------------------------------------------------------ */

PyObject *refuse_empty(void)
{
    PyErr_SetString(usage_error, "cannot place a key without nodes; add a node first");
    return NULL;
}

static inline PyObject *target_at(const Lookup *self, uint64_t position)
{
    size_t point = table_find(&self->table, position);
    return PyTuple_GET_ITEM(self->targets, self->table.owners[point]);
}

static PyObject *Lookup_node(Lookup *self, PyObject *key)
{
    uint64_t position;
    if (key_position(key, &position) < 0) {
        return NULL;
    }
    if (self->table.size == 0) {
        return refuse_empty();
    }
    return Py_NewRef(target_at(self, position));
}

/* Store the slots of the first `wanted` different nodes clockwise from a point. */
static int different(const Lookup *self, size_t point, uint32_t *found, Py_ssize_t wanted)
{
    const Table *table = &self->table;
    unsigned char *seen = NULL;
    Py_ssize_t count = 0;
    if (wanted > FEW) {
        seen = PyMem_Calloc((size_t)PyTuple_GET_SIZE(self->targets), 1);
        if (seen == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    /* Bounded by one round: `wanted` was checked, but a table of other nodes must not hang. */
    for (size_t left = table->size; count < wanted && left > 0; left--) {
        uint32_t slot = table->owners[point];
        int known = seen != NULL && seen[slot];
        if (seen == NULL) {
            for (Py_ssize_t i = 0; i < count && !known; i++) {
                known = found[i] == slot;
            }
        } else {
            seen[slot] = 1;
        }
        if (!known) {
            found[count++] = slot;
        }
        point = point + 1 == table->size ? 0 : point + 1;
    }
    PyMem_Free(seen);
    return 0;
}

/* Return n if it counts nodes of this ring, or -1 with an exception set. */
static Py_ssize_t counted(const Lookup *self, PyObject *n)
{
    Py_ssize_t nodes = self->order == NULL ? 0 : PyTuple_GET_SIZE(self->order);
    if (PyLong_CheckExact(n)) {
        Py_ssize_t wanted = PyLong_AsSsize_t(n);
        if (wanted >= 0 && wanted <= nodes) {
            return wanted;
        }
        PyErr_Clear();
    }
    PyObject *checked = PyObject_CallFunction(check_count, "On", n, nodes);
    if (checked == NULL) {
        return -1;
    }
    Py_ssize_t wanted = PyLong_AsSsize_t(checked);
    Py_DECREF(checked);
    return wanted;
}

/* Leave the choice among nodes to Python: over zones, or without some. */
static PyObject *nodes_chosen(Lookup *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    static PyObject *name;
    PyObject *given[8] = {(PyObject *)self};
    Py_ssize_t all = nargs + PyTuple_GET_SIZE(names);
    if (name == NULL && (name = PyUnicode_InternFromString("_nodes_chosen")) == NULL) {
        return NULL;
    }
    if (all >= (Py_ssize_t)(sizeof given / sizeof *given)) {
        PyErr_SetString(PyExc_TypeError, "nodes() takes a key, n, spread and exclude");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < all; i++) {
        given[i + 1] = args[i];
    }
    return PyObject_VectorcallMethod(name, given, (size_t)nargs + 1, names);
}

static PyObject *Lookup_nodes(Lookup *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *given[2] = {nargs > 0 ? args[0] : NULL, nargs > 1 ? args[1] : NULL};
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        int place = PyUnicode_CompareWithASCIIString(name, "n") == 0 ? 1
                    : PyUnicode_CompareWithASCIIString(name, "key") == 0 ? 0 : -1;
        if (PyUnicode_CompareWithASCIIString(name, "spread") == 0 ||
            PyUnicode_CompareWithASCIIString(name, "exclude") == 0) {
            return nodes_chosen(self, args, nargs, names);
        }
        if (place < 0 || given[place] != NULL) {
            return PyErr_Format(PyExc_TypeError, "nodes() got an unexpected argument %R", name);
        }
        given[place] = args[nargs + i];
    }
    if (nargs > 2 || given[0] == NULL || given[1] == NULL) {
        PyErr_SetString(PyExc_TypeError, "nodes() takes a key and n");
        return NULL;
    }
    uint32_t few[FEW], *found = few;
    uint64_t position;
    Py_ssize_t wanted = counted(self, given[1]);
    if (wanted < 0 || key_position(given[0], &position) < 0) {
        return NULL;
    }
    if (wanted > 0 && self->table.size == 0) {
        return refuse_empty(); /* its tables were refused */
    }
    PyObject *list = PyList_New(wanted);
    if (list == NULL || wanted == 0) {
        return list;
    }
    if (wanted > FEW && (found = PyMem_Malloc((size_t)wanted * sizeof *found)) == NULL) {
        Py_DECREF(list);
        return PyErr_NoMemory();
    }
    if (different(self, table_find(&self->table, position), found, wanted) < 0) {
        Py_CLEAR(list);
    }
    for (Py_ssize_t i = 0; list != NULL && i < wanted; i++) {
        PyList_SET_ITEM(list, i, Py_NewRef(PyTuple_GET_ITEM(self->targets, found[i])));
    }
    if (found != few) {
        PyMem_Free(found);
    }
    return list;
}

static PyObject *Lookup_sizeof(Lookup *self, PyObject *Py_UNUSED(ignored))
{
    size_t starts = self->table.starts == NULL ? 0 : ((size_t)1 << (64 - self->table.shift)) + 1;
    return PyLong_FromSize_t((size_t)Py_TYPE(self)->tp_basicsize + starts * sizeof(uint32_t));
}

static PyMethodDef Lookup_methods[] = {
    {"_arm", (PyCFunction)Lookup_arm, METH_VARARGS, "Take the tables; once."},
    {"node", (PyCFunction)Lookup_node, METH_O,
     "node($self, key, /)\n--\n\nReturn the node that owns ``key``.\n\n"
     "Raises UsageError when the ring is empty or the key is no str, bytes-like or int."},
    {"nodes", (PyCFunction)(void (*)(void))Lookup_nodes, METH_FASTCALL | METH_KEYWORDS,
     "nodes($self, key, n, *, spread=None, exclude=())\n--\n\n"
     "Return the first ``n`` different nodes clockwise from ``key``, its owner first.\n\n"
     "A smaller ``n`` gives a prefix of a larger one. With ``spread='zone'`` they are taken in\n"
     "rounds of which none takes two nodes of a zone; ``exclude`` names nodes to pass over.\n"
     "Raises UsageError when fewer than ``n`` nodes are left."},
    {"index_many", (PyCFunction)Lookup_index_many, METH_O,
     "index_many($self, keys, /)\n--\n\n"
     "Return an array of the owners of many keys, each as its place in ``list(ring)``."},
    {"node_many", (PyCFunction)Lookup_node_many, METH_O,
     "node_many($self, keys, /)\n--\n\nReturn the list of the owners of many keys."},
    {"__sizeof__", (PyCFunction)Lookup_sizeof, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyTypeObject LookupType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "concordant._native.Lookup",
    .tp_doc = "Look-ups on a table of points, in C.",
    .tp_basicsize = sizeof(Lookup),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = Lookup_new,
    .tp_dealloc = (destructor)Lookup_dealloc,
    .tp_traverse = (traverseproc)Lookup_traverse,
    .tp_clear = (inquiry)Lookup_clear,
    .tp_weaklistoffset = offsetof(Lookup, weakrefs),
    .tp_methods = Lookup_methods,
};

int lookup_init(void)
{
    usage_error = attribute("concordant.errors", "UsageError");
    key_bytes = attribute("concordant.placement.keys", "key_bytes");
    check_count = attribute("concordant.placement.keys", "check_count");
    if (usage_error == NULL || key_bytes == NULL || check_count == NULL) {
        return -1;
    }
    return PyType_Ready(&LookupType);
}
