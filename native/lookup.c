#include "lookup.h"

#include "arrays.h"
#include "keys.h"

static void place_block(const Placer *placer, const uint64_t *positions, size_t count,
                        int32_t *out)
{
    const Table *table = &((const Lookup *)placer)->table;
    const uint64_t *first[BLOCK];
    for (size_t i = 0; i < count; i++) {
        first[i] = table_first(table, positions[i]);
        PREFETCH(first[i]);
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = (int32_t)table_index(table, first[i], positions[i]);
    }
}

COLD static PyObject *node_slow(const Lookup *self, PyObject *key)
{
    uint64_t position;
    if (key_position(key, &position) < 0) {
        return NULL;
    }
    if (self->head.place == NULL) {
        return refuse_empty();
    }
    return Py_NewRef(PyTuple_GET_ITEM(self->head.order, table_index_slow(&self->table, position)));
}

/* Most keys are short; for them this calls nothing. */
static PyObject *lookup_node(Lookup *self, PyObject *key)
{
    const void *text;
    size_t size;
    if (self->head.place == NULL || !key_text(key, &text, &size) || size >= 32) {
        return node_slow(self, key);
    }
    size_t index = table_index_soon(&self->table, xxh64_short(text, size));
    return Py_NewRef(PyTuple_GET_ITEM(self->head.order, index));
}

/* --- making and ending it ----------------------------------------------------------------- */

/* Check what a wrong table would make read beyond its end. */
static int check_table(const Table *table, Py_ssize_t owners)
{
    if ((size_t)owners != table->size) {
        PyErr_SetString(PyExc_ValueError, "tables of different lengths");
        return -1;
    }
    if (table->size > TABLE_SIZE_MAX || table->nodes > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "more points than 31 bits count");
        return -1;
    }
    for (size_t at = 0; at < table->size; at++) {
        if (table->owners[at] >= table->slots || table->index_of[table->owners[at]] < 0 ||
            (size_t)table->index_of[table->owners[at]] >= table->nodes) {
            PyErr_SetString(PyExc_ValueError, "a point without a node");
            return -1;
        }
        if (at > 0 && table->positions[at] < table->positions[at - 1]) {
            PyErr_SetString(PyExc_ValueError, "points that do not ascend");
            return -1;
        }
    }
    return 0;
}

static PyObject *lookup_arm(Lookup *self, PyObject *arguments)
{
    PyObject *positions, *owners, *index_of, *order;
    if (!PyArg_ParseTuple(arguments, "OOOO!:_arm", &positions, &owners, &index_of, &PyTuple_Type,
                          &order) ||
        placer_arm(&self->head, order) < 0 || take_buffer(positions, &self->positions, 8) < 0 ||
        take_buffer(owners, &self->owners, 4) < 0 ||
        take_buffer(index_of, &self->index_of, 4) < 0) {
        return NULL;
    }
    Table table = {.positions = self->positions.buf,
                   .owners = self->owners.buf,
                   .index_of = self->index_of.buf,
                   .size = (size_t)self->positions.len / 8,
                   .slots = (size_t)self->index_of.len / 4,
                   .nodes = (size_t)PyTuple_GET_SIZE(order)};
    if (check_table(&table, self->owners.len / 4) < 0) {
        return NULL;
    }
    if (table.size > 0) {
        table_measure(&table);
        self->head.held = table.cells_size * sizeof *table.cells;
        self->head.tables[0] = table.cells = PyMem_Malloc(self->head.held);
        if (table.cells == NULL) {
            return PyErr_NoMemory();
        }
        table_fill(&table);
        self->table = table;
        self->head.place = place_block;
    }
    Py_RETURN_NONE;
}

static int lookup_traverse(Lookup *self, visitproc visit, void *arg)
{
    Py_VISIT(self->positions.obj);
    Py_VISIT(self->owners.obj);
    Py_VISIT(self->index_of.obj);
    return placer_traverse(&self->head, visit, arg);
}

static int lookup_clear(Lookup *self)
{
    placer_clear(&self->head);
    PyBuffer_Release(&self->positions);
    PyBuffer_Release(&self->owners);
    PyBuffer_Release(&self->index_of);
    return 0;
}

static void lookup_dealloc(Lookup *self)
{
    PyObject_GC_UnTrack(self);
    lookup_clear(self);
    placer_dealloc(&self->head);
}

static PyMethodDef lookup_methods[] = {
    {"_arm", (PyCFunction)lookup_arm, METH_VARARGS, "Take the tables; once."},
    {"node", (PyCFunction)lookup_node, METH_O,
     "node($self, key, /)\n--\n\nReturn the node that owns ``key``.\n\n"
     "Raises UsageError when there are no nodes or the key is no str, bytes-like or int."},
    {"nodes", (PyCFunction)(void (*)(void))lookup_nodes, METH_FASTCALL | METH_KEYWORDS,
     "nodes($self, key, n, *, spread=None, exclude=())\n--\n\n"
     "Return the first ``n`` different nodes clockwise from ``key``, its owner first.\n\n"
     "A smaller ``n`` gives a prefix of a larger one. With ``spread='zone'`` they are taken in\n"
     "rounds of which none takes two nodes of a zone; ``exclude`` names nodes to pass over.\n"
     "Raises UsageError when fewer than ``n`` nodes are left."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject LookupType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "concordant._native.Lookup",
    .tp_doc = "Look-ups on a table of points, in C.",
    .tp_base = &PlacerType,
    .tp_basicsize = sizeof(Lookup),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_dealloc = (destructor)lookup_dealloc,
    .tp_traverse = (traverseproc)lookup_traverse,
    .tp_clear = (inquiry)lookup_clear,
    .tp_methods = lookup_methods,
};
