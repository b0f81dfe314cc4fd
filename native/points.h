#ifndef CONCORDANT_POINTS_H
#define CONCORDANT_POINTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* rearranged(positions, owners, leaving, coming, ranks): edit a table of points. */
PyObject *rearranged(PyObject *module, PyObject *arguments);

#endif
