/* Many keys on their way to their owners: hashed one after the other, placed a block at a time. */
#ifndef CONCORDANT_BATCH_H
#define CONCORDANT_BATCH_H

#include "arrays.h"
#include "placer.h"
#include "xxh64.h"

typedef struct {
    const Placer *placer;
    int32_t *out; /* where the next owner's index goes */
    size_t waiting;
    uint64_t positions[BLOCK];
} Batch;

/* Return an array for the indices of so many keys, where the batch then writes; NULL with an
 * exception set. Where there are no nodes to place on, no key can be. */
static inline PyObject *batch_begin(Batch *batch, Py_ssize_t count)
{
    return count > 0 && batch->placer->place == NULL ? refuse_empty()
                                                     : new_indices(count, &batch->out);
}

/* Place the keys that wait; also called at the end. */
static inline void batch_flush(Batch *batch)
{
    if (batch->waiting == 0) {
        return;
    }
    batch->placer->place(batch->placer, batch->positions, batch->waiting, batch->out);
    batch->out += batch->waiting;
    batch->waiting = 0;
}

static inline void batch_add_position(Batch *batch, uint64_t position)
{
    batch->positions[batch->waiting++] = position;
    if (batch->waiting == BLOCK) {
        batch_flush(batch);
    }
}

static inline void batch_add(Batch *batch, const void *key, size_t size)
{
    batch_add_position(batch, xxh64(key, size));
}

/* Add four keys. */
static inline void batch_add_four(Batch *batch, const void *const *keys, const size_t *sizes)
{
    size_t size = sizes[0];
    if (size < 32 && sizes[1] == size && sizes[2] == size && sizes[3] == size &&
        batch->waiting + 4 <= BLOCK) {
        xxh64_by_four(keys, size, batch->positions + batch->waiting);
        batch->waiting += 4;
        if (batch->waiting == BLOCK) {
            batch_flush(batch);
        }
        return;
    }
    for (int i = 0; i < 4; i++) {
        batch_add(batch, keys[i], sizes[i]);
    }
}

#endif
