/* Results that Python reads as array.array. */
#ifndef CONCORDANT_ARRAYS_H
#define CONCORDANT_ARRAYS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

/* Return a module's attribute; NULL with an exception set. */
PyObject *attribute(const char *module, const char *name);

/* Return an array of so many zeros of a type code, and store where they begin. Nobody else has
 * it yet, so it stays there until it is returned to Python. */
PyObject *new_array(const char *code, Py_ssize_t count, void **out);

/* The same for indices. */
PyObject *new_indices(Py_ssize_t count, int32_t **out);

/* Take the memory of an array of items of this size, to be released; returns 0, or -1 with an
 * exception set. */
int take_buffer(PyObject *source, Py_buffer *buffer, Py_ssize_t itemsize);

/* Load what is needed of Python; returns 0, or -1 with an exception set. */
int arrays_init(void);

#endif
