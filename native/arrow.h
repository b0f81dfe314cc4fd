/* Keys that come as Arrow strings, by the Arrow C data interface and its PyCapsule protocol.
 *
 * Source: https://arrow.apache.org/docs/format/CDataInterface.html and
 * .../CDataInterface/PyCapsuleInterface.html
 */
#ifndef CONCORDANT_ARROW_H
#define CONCORDANT_ARROW_H

#include "columns.h"

/* Tell whether an object gives Arrow data. */
int gives_arrow(PyObject *keys);

/* Place them and return the indices as an array; NULL with an exception set. `allocate` makes
 * an array of so many 32-bit places and stores where they begin. */
PyObject *place_arrow(Placing *placing, PyObject *keys,
                      PyObject *(*allocate)(Py_ssize_t count, int32_t **out));

#endif
