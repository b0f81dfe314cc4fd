/* The bytes that stand for a key; see concordant.placement.hashing.xxh64.key_bytes. */
#ifndef CONCORDANT_KEYS_H
#define CONCORDANT_KEYS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "xxh64.h"

/* concordant.placement.hashing.xxh64.key_bytes: for the rarer kinds of keys, and for refusing. */
extern PyObject *key_bytes;

/* Store where a key falls; returns 0, or -1 with an exception set. */
int key_position_slow(PyObject *key, uint64_t *position);

/* Store where the bytes of a key are, if it is of a kind that runs no code; returns whether it
 * was. They stay there as long as the key. */
static inline int key_text(PyObject *key, const void **text, size_t *size)
{
    if (PyUnicode_CheckExact(key) && PyUnicode_IS_COMPACT_ASCII(key)) {
        *text = (PyASCIIObject *)key + 1; /* right behind an ASCII object's head */
        *size = (size_t)PyUnicode_GET_LENGTH(key);
        return 1;
    }
    if (PyBytes_CheckExact(key)) {
        *text = PyBytes_AS_STRING(key);
        *size = (size_t)PyBytes_GET_SIZE(key);
        return 1;
    }
    return 0;
}

/* Store where a key falls; returns 0, or -1 with an exception set. */
static inline int key_position(PyObject *key, uint64_t *position)
{
    const void *text;
    size_t size;
    if (!key_text(key, &text, &size)) {
        return key_position_slow(key, position);
    }
    *position = xxh64(text, size);
    return 0;
}

#endif
