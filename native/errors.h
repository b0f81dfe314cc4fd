#ifndef CONCORDANT_ERRORS_H
#define CONCORDANT_ERRORS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* concordant.errors.UsageError */
extern PyObject *usage_error;

/* Raise it for a null among keys; returns NULL. */
static inline PyObject *refuse_null(Py_ssize_t number)
{
    return PyErr_Format(usage_error, "key number %zd is null; leave the nulls out", number);
}

#endif
