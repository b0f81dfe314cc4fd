/* Which point of a ring follows a position: a prefix table over the sorted points.
 *
 * The top bits of a position choose a bucket, and the table says where the points of each
 * bucket begin; there are one to two buckets a point, so most hold none or one.
 */
#ifndef CONCORDANT_TABLE_H
#define CONCORDANT_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* From so many points in a bucket on, it is searched by halves: whoever chooses the ids could
 * make one bucket hold them all. */
#define TABLE_SCAN_MAX 8

typedef struct {
    const uint64_t *positions; /* ascending */
    const uint32_t *owners;    /* the slot at each position */
    uint32_t *starts;          /* for each bucket its first point, and after the last `size` */
    size_t size;
    int shift; /* a position's bucket is what is left of it above so many bits */
} Table;

/* Return how many bits choose a bucket. */
static inline int table_bits(size_t size)
{
    int bits = 1;
    while (bits < 31 && ((size_t)1 << bits) < size) {
        bits++;
    }
    return bits;
}

/* Fill `starts`, which has room for the buckets and one more. */
static inline void table_index(Table *table)
{
    size_t buckets = (size_t)1 << (64 - table->shift), next = 0;
    for (size_t at = 0; at < table->size; at++) {
        size_t bucket = (size_t)(table->positions[at] >> table->shift);
        while (next <= bucket) {
            table->starts[next++] = (uint32_t)at;
        }
    }
    while (next <= buckets) {
        table->starts[next++] = (uint32_t)table->size;
    }
}

/* Return the index of the first point at or after a position; wraps to 0. The table has points. */
static inline size_t table_find(const Table *table, uint64_t position)
{
    size_t bucket = (size_t)(position >> table->shift);
    size_t low = table->starts[bucket], high = table->starts[bucket + 1];
    const uint64_t *positions = table->positions;
    /* Whether a bucket's point lies before is a coin's toss, so no branch hangs on the first two. */
    size_t before = (low < high) & (positions[low < high ? low : 0] < position);
    low += before;
    before &= (low < high) & (positions[low < high ? low : 0] < position);
    low += before;
    if (before) {
        while (high - low > TABLE_SCAN_MAX) {
            size_t middle = low + (high - low) / 2;
            if (positions[middle] < position) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        while (low < high && positions[low] < position) {
            low++;
        }
    }
    return low == table->size ? 0 : low;
}

/* Memory that is soon to be read; a hint, which compilers that lack it do without. */
#if defined(__GNUC__)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)0)
#endif

/* So many keys are taken together, that the memory which one needs is on its way while others
 * are worked on. */
#define BLOCK 32

/* Write the owner's index of each of up to a block of positions; `index_of` is by slot. */
static inline void table_place(const Table *table, const int32_t *index_of,
                               const uint64_t *positions, size_t count, int32_t *out)
{
    size_t points[BLOCK];
    for (size_t i = 0; i < count; i++) {
        PREFETCH(&table->starts[positions[i] >> table->shift]);
    }
    for (size_t i = 0; i < count; i++) {
        points[i] = table->starts[positions[i] >> table->shift];
        PREFETCH(&table->positions[points[i]]);
        PREFETCH(&table->owners[points[i]]);
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = index_of[table->owners[table_find(table, positions[i])]];
    }
}

#endif
