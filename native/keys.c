#include "keys.h"

PyObject *key_bytes;

int key_position_slow(PyObject *key, uint64_t *position)
{
    /* Not PyUnicode_AsUTF8, which would leave a copy behind in every key that is not ASCII. */
    PyObject *bytes = PyUnicode_CheckExact(key) ? PyUnicode_AsUTF8String(key) : NULL;
    if (bytes == NULL) {
        /* What is no UTF-8 is refused by the same words as everywhere. */
        PyErr_Clear();
        bytes = PyObject_CallOneArg(key_bytes, key);
        if (bytes == NULL) {
            return -1;
        }
        if (!PyBytes_Check(bytes)) {
            PyErr_SetString(PyExc_TypeError, "key_bytes returned no bytes");
            Py_DECREF(bytes);
            return -1;
        }
    }
    *position = xxh64(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return 0;
}
