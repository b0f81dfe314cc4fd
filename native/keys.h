/* The bytes that stand for a key; see concordant.placement.hashing.key_bytes. */
#ifndef CONCORDANT_KEYS_H
#define CONCORDANT_KEYS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "xxh64.h"

/* concordant.placement.hashing.key_bytes: for the rarer kinds of keys, and for refusing. */
extern PyObject *key_bytes;

/* Store where a key falls; returns 0, or -1 with an exception set. */
int key_position_slow(PyObject *key, uint64_t *position);

/* Store where a key falls if it is of a kind that runs no code; returns whether it was. */
static inline int key_position_plain(PyObject *key, uint64_t *position)
{
    if (PyUnicode_CheckExact(key) && PyUnicode_IS_COMPACT_ASCII(key)) {
        /* Right behind an ASCII object's head. */
        *position = xxh64((PyASCIIObject *)key + 1, (size_t)PyUnicode_GET_LENGTH(key));
        return 1;
    }
    if (PyBytes_CheckExact(key)) {
        *position = xxh64(PyBytes_AS_STRING(key), (size_t)PyBytes_GET_SIZE(key));
        return 1;
    }
    return 0;
}

static inline int key_position(PyObject *key, uint64_t *position)
{
    return key_position_plain(key, position) ? 0 : key_position_slow(key, position);
}

#endif
