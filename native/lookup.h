#ifndef CONCORDANT_LOOKUP_H
#define CONCORDANT_LOOKUP_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The placement by a table of points; HashRing is derived from it. */
extern PyTypeObject LookupType;

#endif
