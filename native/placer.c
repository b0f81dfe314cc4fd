#include "placer.h"

#include <stddef.h>

#include "arrays.h"
#include "errors.h"
#include "keys.h"

PyObject *usage_error;

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

void *placer_table(Placer *self, PyObject *source, size_t itemsize, Py_ssize_t *count)
{
    void **table = self->tables[0] == NULL ? &self->tables[0] : &self->tables[1];
    Py_buffer view;
    if (take_buffer(source, &view, (Py_ssize_t)itemsize) < 0) {
        return NULL;
    }
    *count = view.len / (Py_ssize_t)itemsize;
    *table = PyMem_Malloc((size_t)view.len + 1);
    if (*table == NULL) {
        PyErr_NoMemory();
    } else {
        memcpy(*table, view.buf, (size_t)view.len);
        self->held += (size_t)view.len;
    }
    PyBuffer_Release(&view);
    return *table;
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
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    placer_clear(self);
    PyMem_Free(self->tables[0]);
    PyMem_Free(self->tables[1]);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *placer_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kw))
{
    return type->tp_alloc(type, 0);
}

static PyObject *placer_sizeof(Placer *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSize_t((size_t)Py_TYPE(self)->tp_basicsize + self->held);
}

/* --- one key ------------------------------------------------------------------------------ */

PyObject *refuse_empty(void)
{
    PyErr_SetString(usage_error, "cannot place a key without nodes; add a node first");
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

static PyMethodDef placer_methods[] = {
    {"node", (PyCFunction)placer_node, METH_O,
     "node($self, key, /)\n--\n\nReturn the node that owns ``key``.\n\n"
     "Raises UsageError when there are no nodes or the key is no str, bytes-like or int."},
    {"index_many", (PyCFunction)placer_index_many, METH_O,
     "index_many($self, keys, /)\n--\n\n"
     "Return an array of the owners of many keys, each as its place in the order of ids."},
    {"node_many", (PyCFunction)placer_node_many, METH_O,
     "node_many($self, keys, /)\n--\n\nReturn the list of the owners of many keys."},
    {"__sizeof__", (PyCFunction)placer_sizeof, METH_NOARGS, NULL},
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
    return usage_error == NULL || key_bytes == NULL ? -1 : 0;
}
