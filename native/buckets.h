/* The placements by numbered buckets: jump hash and MementoHash. */
#ifndef CONCORDANT_BUCKETS_H
#define CONCORDANT_BUCKETS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyTypeObject JumpLookupType;
extern PyTypeObject MementoLookupType;

#endif
