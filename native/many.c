#include "arrays.h"
#include "arrow.h"
#include "columns.h"
#include "errors.h"
#include "keys.h"
#include "lookup.h"

static PyObject *allocate(Py_ssize_t count, int32_t **out)
{
    return new_array("i", count, (void **)out);
}

/* From so many places ahead, keys are on their way to be read. */
#define AHEAD 16

static PyObject *place_list(const Lookup *self, PyObject *keys)
{
    PyObject *fast = PySequence_Fast(keys, "keys come in a list, an array or another iterable");
    Placing placing = {.table = &self->table, .index_of = self->index_of.buf};
    if (fast == NULL) {
        return NULL;
    }
    Py_ssize_t count = PySequence_Fast_GET_SIZE(fast), at = 0;
    PyObject *indices = new_array("i", count, (void **)&placing.out);
    PyObject **each = PySequence_Fast_ITEMS(fast);
    for (; indices != NULL && at < count; at++) {
        uint64_t position;
        if (at + AHEAD < count) {
            PREFETCH(each[at + AHEAD]);
            PREFETCH((const char *)each[at + AHEAD] + 64);
        }
        if (!key_position_plain(each[at], &position)) {
            /* This may run code of the key's own kind, which may change the list. */
            PyObject *key = Py_NewRef(each[at]);
            if (key_position_slow(key, &position) < 0) {
                Py_CLEAR(indices);
            }
            Py_DECREF(key);
            if (PySequence_Fast_GET_SIZE(fast) != count) {
                break;
            }
            each = PySequence_Fast_ITEMS(fast);
        }
        if (indices != NULL) {
            place(&placing, position);
        }
    }
    if (indices != NULL && at < count) {
        PyErr_SetString(usage_error, "the list of keys changed while they were placed");
        Py_CLEAR(indices);
    }
    if (indices != NULL) {
        placed(&placing);
    }
    Py_DECREF(fast);
    return indices;
}

/* Return what letter the items of an array of text have: s, w, or 0 for something else. */
static char text_kind(const Py_buffer *view)
{
    const char *format = view->format == NULL ? "" : view->format;
    while (*format >= '0' && *format <= '9') {
        format++;
    }
    return view->ndim == 1 && (*format == 's' || *format == 'w') && format[1] == 0 ? *format : 0;
}

/* Place an array of text of one width; NULL without an exception if it is something else. */
static PyObject *place_text(const Lookup *self, PyObject *keys)
{
    Placing placing = {.table = &self->table, .index_of = self->index_of.buf};
    Py_buffer view;
    if (!PyObject_CheckBuffer(keys)) {
        return NULL;
    }
    if (PyObject_GetBuffer(keys, &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) < 0) {
        PyErr_Clear(); /* with gaps, or of objects */
        return NULL;
    }
    char kind = text_kind(&view);
    PyObject *indices = kind == 0 ? NULL : allocate(view.shape[0], &placing.out);
    Py_ssize_t bad = -1;
    if (indices != NULL) {
        Py_BEGIN_ALLOW_THREADS
        if (kind == 's') {
            place_by_width(&placing, view.buf, view.itemsize, view.shape[0]);
        } else {
            bad = place_by_ucs4(&placing, view.buf, view.itemsize / 4, view.shape[0]);
        }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&view);
    if (bad != -1) {
        Py_CLEAR(indices);
        if (bad == -2) {
            PyErr_NoMemory();
        } else {
            PyErr_Format(usage_error, "key number %zd is not valid Unicode; pass its bytes instead",
                         bad);
        }
    }
    return indices;
}

PyObject *Lookup_index_many(Lookup *self, PyObject *keys)
{
    if (PyUnicode_Check(keys) || PyBytes_Check(keys) || PyByteArray_Check(keys)) {
        PyErr_Format(usage_error, "%s is one key; pass a list of keys", Py_TYPE(keys)->tp_name);
        return NULL;
    }
    if (self->table.size == 0) {
        PyObject *list = PySequence_List(keys);
        int none = list != NULL && PyList_GET_SIZE(list) == 0;
        int32_t *out;
        Py_XDECREF(list);
        return none ? allocate(0, &out) : list == NULL ? NULL : refuse_empty();
    }
    if (PyList_CheckExact(keys) || PyTuple_CheckExact(keys)) {
        return place_list(self, keys);
    }
    if (gives_arrow(keys)) {
        Placing placing = {.table = &self->table, .index_of = self->index_of.buf};
        return place_arrow(&placing, keys, allocate);
    }
    PyObject *indices = place_text(self, keys);
    if (indices != NULL || PyErr_Occurred()) {
        return indices;
    }
    /* An array of numbers gives Python's own only so. */
    if (!PyObject_HasAttrString(keys, "tolist")) {
        return place_list(self, keys);
    }
    PyObject *list = PyObject_CallMethod(keys, "tolist", NULL);
    if (list == NULL) {
        return NULL;
    }
    indices = place_list(self, list);
    Py_DECREF(list);
    return indices;
}

PyObject *Lookup_node_many(Lookup *self, PyObject *keys)
{
    PyObject *indices = Lookup_index_many(self, keys);
    Py_buffer view;
    if (indices == NULL) {
        return NULL;
    }
    if (PyObject_GetBuffer(indices, &view, PyBUF_SIMPLE) < 0) {
        Py_DECREF(indices);
        return NULL;
    }
    const int32_t *index = view.buf;
    Py_ssize_t count = view.len / (Py_ssize_t)sizeof *index;
    PyObject *nodes = PyList_New(count);
    for (Py_ssize_t at = 0; nodes != NULL && at < count; at++) {
        PyList_SET_ITEM(nodes, at, Py_NewRef(PyTuple_GET_ITEM(self->order, index[at])));
    }
    PyBuffer_Release(&view);
    Py_DECREF(indices);
    return nodes;
}
