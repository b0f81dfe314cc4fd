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

static int place_one(Batch *batch, PyObject *key, Py_ssize_t number)
{
    uint64_t position;
    if (key == Py_None) {
        refuse_null(number);
        return -1;
    }
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
        if (place_one(batch, each[0], at) < 0) {
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

/* Raise UsageError about the keys, by what comes before and after the name of their type. */
static void refuse_keys(PyObject *keys, const char *before, const char *after)
{
    PyObject *name = PyType_GetName(Py_TYPE(keys));
    if (name != NULL) {
        PyErr_Format(usage_error, "%s%U%s", before, name, after);
        Py_DECREF(name);
    }
}

static void refuse_one(PyObject *keys)
{
    refuse_keys(keys, "", " is one key; pass a list of keys");
}

/* Return the keys as a list or a tuple; NULL with an exception set. */
static PyObject *fast_keys(PyObject *keys)
{
    if (PyList_CheckExact(keys) || PyTuple_CheckExact(keys)) {
        return Py_NewRef(keys);
    }
    PyObject *iterator = PyObject_GetIter(keys);
    if (iterator == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear();
            refuse_keys(keys,
                        "keys must be a list, an array, a column or another iterable of keys, not ",
                        "");
        }
        return NULL;
    }
    PyObject *list = PySequence_List(iterator);
    Py_DECREF(iterator);
    return list;
}

static PyObject *place_list(Placer *self, PyObject *keys)
{
    PyObject *fast = fast_keys(keys);
    Batch batch = {.placer = self};
    PyObject *indices =
        fast == NULL ? NULL : batch_begin(&batch, PySequence_Fast_GET_SIZE(fast));
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
    /* A mask is not in the buffer: what it hides must not be read from there. */
    if (!PyObject_CheckBuffer(keys) || PyObject_HasAttrString(keys, "mask") ||
        PyObject_HasAttrString(keys, "_mask")) {
        return NULL;
    }
    if (PyObject_GetBuffer(keys, &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) < 0) {
        PyErr_Clear(); /* with gaps, or of objects */
        return NULL;
    }
    char kind = text_kind(&view);
    PyObject *indices = kind == 0 ? NULL : batch_begin(&batch, view.shape[0]);
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

/* Store the method that gives Python's own objects, or NULL if there is none; returns 0, or -1
 * with an exception set. */
static int find_conversion(PyObject *keys, PyObject **method)
{
    /* Of NumPy and the array module, of Arrow, of Polars. */
    static const char *const names[] = {"tolist", "to_pylist", "to_list"};
    *method = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && *method == NULL; i++) {
        *method = PyObject_GetAttrString(keys, names[i]);
        if (*method == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
                return -1;
            }
            PyErr_Clear();
        }
    }
    return 0;
}

static PyObject *place_converted(Placer *self, PyObject *keys, PyObject *method)
{
    PyObject *list = PyObject_CallNoArgs(method), *indices = NULL;
    if (list != NULL && PyList_Check(list)) {
        indices = place_list(self, list);
    } else if (list != NULL) {
        refuse_one(keys); /* an array without dimensions gives its item */
    }
    Py_XDECREF(list);
    return indices;
}

/* Place keys in their own memory if it is of a kind that is read here, else by way of Python. */
static PyObject *place_column(Placer *self, PyObject *keys)
{
    PyObject *method, *indices;
    if (find_conversion(keys, &method) < 0) {
        return NULL;
    }
    if (gives_arrow(keys)) {
        Batch batch = {.placer = self};
        indices = place_arrow(&batch, keys, method != NULL);
    } else {
        indices = place_text(self, keys);
    }
    if (indices == NULL && !PyErr_Occurred()) {
        indices = method == NULL ? place_list(self, keys) : place_converted(self, keys, method);
    }
    Py_XDECREF(method);
    return indices;
}

PyObject *placer_index_many(Placer *self, PyObject *keys)
{
    if (PyList_CheckExact(keys) || PyTuple_CheckExact(keys)) {
        return place_list(self, keys);
    }
    if (PyUnicode_Check(keys) || PyBytes_Check(keys) || PyByteArray_Check(keys) ||
        PyMemoryView_Check(keys)) {
        refuse_one(keys);
        return NULL;
    }
    return place_column(self, keys);
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
