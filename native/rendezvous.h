/* The placement by scores. Compilers without numbers of 128 bits leave it to Python. */
#ifndef CONCORDANT_RENDEZVOUS_H
#define CONCORDANT_RENDEZVOUS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifdef __SIZEOF_INT128__
#define HAVE_RENDEZVOUS 1
extern PyTypeObject RendezvousLookupType;
#endif

#endif
