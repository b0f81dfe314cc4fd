/* Keys that come as Arrow strings, by the Arrow C data interface and its PyCapsule protocol.
 *
 * Source: https://arrow.apache.org/docs/format/CDataInterface.html and
 * .../CDataInterface/PyCapsuleInterface.html
 */
#ifndef CONCORDANT_ARROW_H
#define CONCORDANT_ARROW_H

#include "batch.h"

/* Tell whether an object gives Arrow data. */
int gives_arrow(PyObject *keys);

/* Place them and return the indices as an array; NULL with an exception set. What is neither
 * text nor binary is refused, or left with NULL and no exception if there is another way to it. */
PyObject *place_arrow(Batch *batch, PyObject *keys, int other_way);

#endif
