#include "arrays.h"
#include "arrow.h"
#include "columns.h"
#include "errors.h"
#include "keys.h"
#include "placer.h"

/* So many places ahead of its turn, a key is sent for. */
#define AHEAD 24

/* Place four keys if none of them has to be asked for its bytes; returns whether it did. */
static inline int place_four(Batch *batch, PyObject **each)
{
    const void *keys[4];
    size_t sizes[4];
    for (int i = 0; i < 4; i++) {
        if (!key_text(each[i], &keys[i], &sizes[i])) {
            return 0;
        }
    }
    batch_add_four(batch, keys, sizes);
    return 1;
}

static int place_one(Batch *batch, PyObject *key)
{
    uint64_t position;
    Py_INCREF(key); /* asking runs code, which may take it from the list */
    int failed = key_position(key, &position);
    Py_DECREF(key);
    if (!failed) {
        batch_add_position(batch, position);
    }
    return failed;
}

/* Place the keys of a list or a tuple; returns 0, or -1 with an exception set. */
static int place_each(Batch *batch, PyObject *fast)
{
    Py_ssize_t count = PySequence_Fast_GET_SIZE(fast), at = 0;
    while (at < count) {
        PyObject **each = PySequence_Fast_ITEMS(fast) + at;
        for (Py_ssize_t i = AHEAD; i < AHEAD + 4 && at + i < count; i++) {
            /* A short text begins in the line after its head. */
            PREFETCH(each[i]);
            PREFETCH((const char *)each[i] + 48);
        }
        if (count - at >= 4 && place_four(batch, each)) {
            at += 4;
            continue;
        }
        if (place_one(batch, each[0]) < 0) {
            return -1;
        }
        if (PySequence_Fast_GET_SIZE(fast) != count) {
            PyErr_SetString(usage_error, "the list of keys changed while they were placed");
            return -1;
        }
        at++;
    }
    batch_flush(batch);
    return 0;
}

static PyObject *place_list(Placer *self, PyObject *keys)
{
    PyObject *fast = PySequence_Fast(keys, "keys come in a list, an array or another iterable");
    Batch batch = {.placer = self};
    PyObject *indices =
        fast == NULL ? NULL : new_indices(PySequence_Fast_GET_SIZE(fast), &batch.out);
    if (indices != NULL && place_each(&batch, fast) < 0) {
        Py_CLEAR(indices);
    }
    Py_XDECREF(fast);
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
static PyObject *place_text(Placer *self, PyObject *keys)
{
    Batch batch = {.placer = self};
    Py_buffer view;
    if (!PyObject_CheckBuffer(keys)) {
        return NULL;
    }
    if (PyObject_GetBuffer(keys, &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) < 0) {
        PyErr_Clear(); /* with gaps, or of objects */
        return NULL;
    }
    char kind = text_kind(&view);
    PyObject *indices = kind == 0 ? NULL : new_indices(view.shape[0], &batch.out);
    Py_ssize_t bad = -1;
    if (indices != NULL) {
        Py_BEGIN_ALLOW_THREADS
        if (kind == 's') {
            place_by_width(&batch, view.buf, view.itemsize, view.shape[0]);
        } else {
            bad = place_by_ucs4(&batch, view.buf, view.itemsize / 4, view.shape[0]);
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

PyObject *placer_index_many(Placer *self, PyObject *keys)
{
    if (PyUnicode_Check(keys) || PyBytes_Check(keys) || PyByteArray_Check(keys) ||
        PyMemoryView_Check(keys)) {
        PyErr_Format(usage_error, "%s is one key; pass a list of keys", Py_TYPE(keys)->tp_name);
        return NULL;
    }
    if (self->place == NULL) {
        PyObject *list = PySequence_List(keys);
        int none = list != NULL && PyList_GET_SIZE(list) == 0;
        int32_t *out;
        Py_XDECREF(list);
        return none ? new_indices(0, &out) : list == NULL ? NULL : refuse_empty();
    }
    if (PyList_CheckExact(keys) || PyTuple_CheckExact(keys)) {
        return place_list(self, keys);
    }
    if (gives_arrow(keys)) {
        Batch batch = {.placer = self};
        return place_arrow(&batch, keys);
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

PyObject *placer_node_many(Placer *self, PyObject *keys)
{
    PyObject *indices = placer_index_many(self, keys);
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
