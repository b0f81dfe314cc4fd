#include "sort.h"

/* A point is sorted by 96 bits: its position, and below that its rank. */
#define TOP_BIT 95
#define RANK_BITS 32

/* So few are sorted by moving each one down. */
#define FEW 12

static inline int has_bit(const Points *points, size_t at, int bit)
{
    return bit >= RANK_BITS ? (int)(points->positions[at] >> (bit - RANK_BITS) & 1)
                            : (int)(points->ranks[points->slots[at]] >> bit & 1);
}

static inline void swap(Points *points, size_t one, size_t other)
{
    uint64_t position = points->positions[one];
    uint32_t slot = points->slots[one];
    points->positions[one] = points->positions[other];
    points->slots[one] = points->slots[other];
    points->positions[other] = position;
    points->slots[other] = slot;
}

static void sort_few(Points *points, size_t first, size_t end)
{
    for (size_t at = first + 1; at < end; at++) {
        uint64_t position = points->positions[at];
        uint32_t slot = points->slots[at];
        size_t to = at;
        for (; to > first && comes_before(points->ranks, position, slot,
                                          points->positions[to - 1], points->slots[to - 1]);
             to--) {
            points->positions[to] = points->positions[to - 1];
            points->slots[to] = points->slots[to - 1];
        }
        points->positions[to] = position;
        points->slots[to] = slot;
    }
}

/* Sort those that differ in this bit and the lower ones at most: first those without it. */
static void sort_by(Points *points, size_t first, size_t end, int bit)
{
    for (; end - first > FEW && bit >= 0; bit--) {
        size_t low = first, high = end;
        while (low < high) {
            if (!has_bit(points, low, bit)) {
                low++;
            } else if (has_bit(points, high - 1, bit)) {
                high--;
            } else {
                swap(points, low++, --high);
            }
        }
        sort_by(points, first, low, bit - 1);
        first = low;
    }
    /* Else they are equal to the last bit. */
    if (end - first <= FEW) {
        sort_few(points, first, end);
    }
}

void sort_points(Points *points)
{
    sort_by(points, 0, points->size, TOP_BIT);
}
