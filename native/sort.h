/* Points by position, and by their nodes where two are at one position. */
#ifndef CONCORDANT_SORT_H
#define CONCORDANT_SORT_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t *positions;
    uint32_t *slots;
    size_t size;
    const uint32_t *ranks; /* where the node of each slot stands among all by id */
} Points;

/* Tell whether a point comes before another. */
static inline int comes_before(const uint32_t *ranks, uint64_t position, uint32_t slot,
                               uint64_t other, uint32_t other_slot)
{
    return position != other ? position < other : ranks[slot] < ranks[other_slot];
}

/* Sort them in place. Takes time in proportion to their number whatever the positions are, and
 * those come from whoever chooses the ids. */
void sort_points(Points *points);

#endif
