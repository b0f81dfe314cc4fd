/* The placement by a table of points; HashRing is derived from it. */
#ifndef CONCORDANT_LOOKUP_H
#define CONCORDANT_LOOKUP_H

#include "placer.h"
#include "table.h"

typedef struct {
    Placer head;
    Table table;
    Py_buffer positions;
    Py_buffer owners;
    Py_buffer index_of;
} Lookup;

extern PyTypeObject LookupType;

/* nodes(key, n, *, spread=None, exclude=()) */
PyObject *lookup_nodes(Lookup *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names);

/* Load what is needed of Python; returns 0, or -1 with an exception set. */
int lookup_init(void);

#endif
