#include "arrays.h"

static PyObject *array_type; /* array.array */

PyObject *attribute(const char *module, const char *name)
{
    PyObject *loaded = PyImport_ImportModule(module);
    PyObject *found = loaded == NULL ? NULL : PyObject_GetAttrString(loaded, name);
    Py_XDECREF(loaded);
    return found;
}

PyObject *new_array(const char *code, Py_ssize_t count, void **out)
{
    PyObject *zero = PyObject_CallFunction(array_type, "s(i)", code, 0);
    PyObject *made = zero == NULL ? NULL : PySequence_Repeat(zero, count);
    Py_buffer view;
    Py_XDECREF(zero);
    if (made == NULL) {
        return NULL;
    }
    if (PyObject_GetBuffer(made, &view, PyBUF_WRITABLE) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    *out = view.buf;
    PyBuffer_Release(&view);
    return made;
}

PyObject *new_indices(Py_ssize_t count, int32_t **out)
{
    void *begin;
    PyObject *made = new_array("i", count, &begin);
    if (made != NULL) {
        *out = begin;
    }
    return made;
}

int take_buffer(PyObject *source, Py_buffer *buffer, Py_ssize_t itemsize)
{
    if (PyObject_GetBuffer(source, buffer, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    /* An empty array is anywhere. */
    if (buffer->len % itemsize || (buffer->len && (uintptr_t)buffer->buf % (uintptr_t)itemsize)) {
        PyErr_SetString(PyExc_ValueError, "a table of another item size");
        PyBuffer_Release(buffer);
        return -1;
    }
    return 0;
}

int arrays_init(void)
{
    array_type = attribute("array", "array");
    return array_type == NULL ? -1 : 0;
}
