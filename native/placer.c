#include "placer.h"

#include <stddef.h>

#include "arrays.h"
#include "errors.h"
#include "keys.h"

/* Up to so many nodes wait on the stack. */
#define FEW 16

PyObject *usage_error;

static PyObject *check_count; /* concordant.placement.keys.check_count */

/* --- making and ending it ----------------------------------------------------------------- */

int placer_arm(Placer *self, PyObject *order)
{
    if (self->order != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a look-up is armed once");
        return -1;
    }
    self->order = Py_NewRef(order);
    return 0;
}

int placer_traverse(Placer *self, visitproc visit, void *arg)
{
    Py_VISIT(self->order);
    return 0;
}

int placer_clear(Placer *self)
{
    self->place = NULL;
    Py_CLEAR(self->order);
    return 0;
}

void placer_dealloc(Placer *self)
{
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    placer_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *placer_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kw))
{
    return type->tp_alloc(type, 0);
}

/* --- one key ------------------------------------------------------------------------------ */

PyObject *refuse_empty(void)
{
    PyErr_SetString(usage_error, "cannot place a key on an empty ring; add a node first");
    return NULL;
}

static PyObject *placer_node(Placer *self, PyObject *key)
{
    uint64_t position;
    int32_t index;
    if (key_position(key, &position) < 0) {
        return NULL;
    }
    if (self->place == NULL) {
        return refuse_empty();
    }
    self->place(self, &position, 1, &index);
    return Py_NewRef(PyTuple_GET_ITEM(self->order, index));
}

/* Return n if it counts some of the nodes, or -1 with an exception set. */
static Py_ssize_t counted(const Placer *self, PyObject *n)
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

/* Store the key and n that a call gives; returns 0, or -1 with an exception set. */
static int key_and_n(PyObject *const *args, Py_ssize_t nargs, PyObject *names, PyObject *given[2])
{
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    given[0] = nargs > 0 ? args[0] : NULL;
    given[1] = nargs > 1 ? args[1] : NULL;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        int place = PyUnicode_CompareWithASCIIString(name, "n") == 0 ? 1
                    : PyUnicode_CompareWithASCIIString(name, "key") == 0 ? 0 : -1;
        if (place < 0 || given[place] != NULL) {
            PyErr_Format(PyExc_TypeError, "nodes() got an unexpected argument %R", name);
            return -1;
        }
        given[place] = args[nargs + i];
    }
    if (nargs > 2 || given[0] == NULL || given[1] == NULL) {
        PyErr_SetString(PyExc_TypeError, "nodes() takes a key and n");
        return -1;
    }
    return 0;
}

PyObject *placer_nodes(Placer *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *given[2];
    int32_t few[FEW], *found = few;
    uint64_t position;
    if (key_and_n(args, nargs, names, given) < 0) {
        return NULL;
    }
    Py_ssize_t wanted = counted(self, given[1]);
    if (wanted < 0 || key_position(given[0], &position) < 0) {
        return NULL;
    }
    if (wanted > 0 && self->place == NULL) {
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
    if (self->prefer(self, position, wanted, found) < 0) {
        Py_CLEAR(list);
    }
    for (Py_ssize_t i = 0; list != NULL && i < wanted; i++) {
        PyList_SET_ITEM(list, i, Py_NewRef(PyTuple_GET_ITEM(self->order, found[i])));
    }
    if (found != few) {
        PyMem_Free(found);
    }
    return list;
}

static PyMethodDef placer_methods[] = {
    {"node", (PyCFunction)placer_node, METH_O,
     "node($self, key, /)\n--\n\nReturn the node that owns ``key``.\n\n"
     "Raises UsageError when there are no nodes or the key is no str, bytes-like or int."},
    {"nodes", (PyCFunction)(void (*)(void))placer_nodes, METH_FASTCALL | METH_KEYWORDS,
     "nodes($self, key, n)\n--\n\n"
     "Return the first ``n`` different nodes for ``key``, its owner first.\n\n"
     "A smaller ``n`` gives a prefix of a larger one. Zones are not looked at. Raises UsageError\n"
     "when there are fewer nodes than ``n``."},
    {"index_many", (PyCFunction)placer_index_many, METH_O,
     "index_many($self, keys, /)\n--\n\n"
     "Return an array of the owners of many keys, each as its place in ``list(ring)``."},
    {"node_many", (PyCFunction)placer_node_many, METH_O,
     "node_many($self, keys, /)\n--\n\nReturn the list of the owners of many keys."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject PlacerType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "concordant._native.Placer",
    .tp_doc = "What all placements in C have in common.",
    .tp_basicsize = sizeof(Placer),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = placer_new,
    .tp_dealloc = (destructor)placer_dealloc,
    .tp_traverse = (traverseproc)placer_traverse,
    .tp_clear = (inquiry)placer_clear,
    .tp_weaklistoffset = offsetof(Placer, weakrefs),
    .tp_methods = placer_methods,
};

int placer_init(void)
{
    usage_error = attribute("concordant.errors", "UsageError");
    key_bytes = attribute("concordant.placement.keys", "key_bytes");
    check_count = attribute("concordant.placement.keys", "check_count");
    if (usage_error == NULL || key_bytes == NULL || check_count == NULL) {
        return -1;
    }
    return PyType_Ready(&PlacerType);
}
