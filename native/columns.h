/* Many keys in one block of memory, hashed without the interpreter. */
#ifndef CONCORDANT_COLUMNS_H
#define CONCORDANT_COLUMNS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "table.h"

/* What becomes of each key: its owner's index is written to the next place. Positions wait until
 * they make a block, or `placed` is called at the end. */
typedef struct {
    const Table *table;
    const int32_t *index_of; /* of each slot */
    int32_t *out;
    size_t waiting;
    uint64_t positions[BLOCK];
} Placing;

static inline void placed(Placing *placing)
{
    table_place(placing->table, placing->index_of, placing->positions, placing->waiting,
                placing->out);
    placing->out += placing->waiting;
    placing->waiting = 0;
}

static inline void place(Placing *placing, uint64_t position)
{
    placing->positions[placing->waiting++] = position;
    if (placing->waiting == BLOCK) {
        placed(placing);
    }
}

/* Place keys given as offsets into one block; `wide` says that the offsets have 64 bits. */
void place_by_offsets(Placing *placing, const char *data, const void *offsets, int wide,
                      Py_ssize_t first, Py_ssize_t count);

/* Place keys of so many bytes each, without the NULs that fill them up. */
void place_by_width(Placing *placing, const char *data, Py_ssize_t width, Py_ssize_t count);

/* Place keys of so many UCS-4 characters each, by their UTF-8, without the NULs that fill them
 * up. Returns -1, or the number of the first that is no Unicode, or -2 if there is no memory. */
Py_ssize_t place_by_ucs4(Placing *placing, const char *data, Py_ssize_t width,
                         Py_ssize_t count);

#endif
