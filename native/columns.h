/* Many keys in one block of memory, hashed without the interpreter. */
#ifndef CONCORDANT_COLUMNS_H
#define CONCORDANT_COLUMNS_H

#include "batch.h"

/* Place keys given as offsets into one block; `wide` says that the offsets have 64 bits. */
void place_by_offsets(Batch *batch, const char *data, const void *offsets, int wide,
                      Py_ssize_t first, Py_ssize_t count);

/* Place keys of so many bytes each, without the NULs that fill them up. */
void place_by_width(Batch *batch, const char *data, Py_ssize_t width, Py_ssize_t count);

/* Place keys of so many UCS-4 characters each, by their UTF-8, without the NULs that fill them
 * up. Returns -1, or the number of the first that is no Unicode, or -2 if there is no memory. */
Py_ssize_t place_by_ucs4(Batch *batch, const char *data, Py_ssize_t width, Py_ssize_t count);

#endif
