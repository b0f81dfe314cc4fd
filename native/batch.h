/* Many keys on their way to their owners: hashed one after the other, placed a block at a time. */
#ifndef CONCORDANT_BATCH_H
#define CONCORDANT_BATCH_H

#include "placer.h"
#include "xxh64.h"

typedef struct {
    const Placer *placer;
    int32_t *out; /* where the next owner's index goes */
    size_t waiting;
    uint64_t positions[BLOCK];
} Batch;

/* Place the keys that wait; also called at the end. */
static inline void batch_flush(Batch *batch)
{
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
