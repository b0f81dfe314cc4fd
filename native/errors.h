#ifndef CONCORDANT_ERRORS_H
#define CONCORDANT_ERRORS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* concordant.errors.UsageError */
extern PyObject *usage_error;

#endif
