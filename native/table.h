/* Which point of a ring follows a position: cells over the sorted points.
 *
 * The hash space is cut into equal buckets, between one and two a point, and each has a cell. The
 * points lie in the cells in their order, each in its bucket's cell or, where that is taken, in
 * the next free one; a cell that none takes repeats the point after it. So the answer stands in
 * the first cell, from the position's bucket on, that is not before the position: mostly in one
 * of the first four, which is one piece of memory to wait for.
 *
 * A cell is one number: a point's position, whose last bits give way to its owner's index, and to
 * how many cells further the next point may be. Where that is too coarse to tell, or where whoever
 * chose the ids crowded many points into one place, the points themselves are searched by halves.
 */
#ifndef CONCORDANT_TABLE_H
#define CONCORDANT_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

/* After so many cells the points are searched. */
#define TABLE_SCAN_MAX 12
/* Up to so many points there are two buckets a point; beyond, memory counts for more. */
#define TABLE_ROOMY_MAX ((size_t)1 << 18)
#define TABLE_SIZE_MAX ((size_t)1 << 31)
#define TABLE_SKIP_BITS 4
#define TABLE_SKIP_MAX (((uint64_t)1 << TABLE_SKIP_BITS) - 1)

typedef struct {
    const uint64_t *positions; /* ascending */
    const uint32_t *owners;    /* the slot at each position */
    const int32_t *index_of;   /* of each slot */
    size_t size;
    size_t slots;
    size_t nodes;
    uint64_t *cells;
    size_t cells_size;
    uint64_t buckets; /* less than 2**32 */
    uint64_t mask;    /* of a cell's bits that are no position */
} Table;

static inline size_t table_bucket(const Table *table, uint64_t position)
{
    return (size_t)((position >> 32) * table->buckets >> 32);
}

/* Return the index of a point's owner. The slots were checked when the table was armed, but the
 * arrays belong to Python, which may have written to them since. */
static inline uint32_t table_owner(const Table *table, size_t point)
{
    uint32_t slot = table->owners[point];
    uint32_t index = slot < table->slots ? (uint32_t)table->index_of[slot] : 0;
    return index < table->nodes ? index : 0;
}

/* Set how many buckets and cells there are, and the mask, by the points and the nodes. */
static inline void table_measure(Table *table)
{
    size_t next = 0;
    table->buckets = table->size <= TABLE_ROOMY_MAX ? 2 * (uint64_t)table->size
                                                    : (uint64_t)table->size / 16 * 21;
    for (size_t at = 0; at < table->size; at++) {
        size_t bucket = table_bucket(table, table->positions[at]);
        next = (next > bucket ? next : bucket) + 1;
    }
    /* A search from the last bucket ends in cells that are after every position. */
    table->cells_size = (next > table->buckets ? next : (size_t)table->buckets) + TABLE_SCAN_MAX;
    table->mask = TABLE_SKIP_MAX;
    while (table->mask >> TABLE_SKIP_BITS < table->nodes) {
        table->mask = table->mask << 1 | 1;
    }
}

/* Fill the cells, for which there is room now. */
static inline void table_fill(Table *table)
{
    size_t next = 0;
    for (size_t at = 0; at <= table->size; at++) {
        int last = at == table->size;
        size_t point = last ? 0 : at; /* behind the last point follows the first */
        size_t bucket =
            last ? table->cells_size - 1 : table_bucket(table, table->positions[point]);
        uint64_t cell = ((last ? UINT64_MAX : table->positions[point]) & ~table->mask) |
                        (uint64_t)table_owner(table, point) << TABLE_SKIP_BITS;
        do {
            uint64_t skip = bucket > next ? bucket - next + 1 : 1;
            table->cells[next++] = cell | (skip < TABLE_SKIP_MAX ? skip : TABLE_SKIP_MAX);
        } while (next <= bucket);
    }
}

/* Return the index of the first point at or after a position; wraps to 0. The table has points. */
static inline size_t table_search(const Table *table, uint64_t position)
{
    size_t low = 0, high = table->size;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->positions[middle] < position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == table->size ? 0 : low;
}

static inline size_t table_index_in(const Table *table, uint64_t cell)
{
    return (size_t)((cell & table->mask) >> TABLE_SKIP_BITS);
}

/* Return the cell of the bucket of a position. */
static inline const uint64_t *table_first(const Table *table, uint64_t position)
{
    return table->cells + table_bucket(table, position);
}

/* Return the cell of the first point at or after a position, or NULL where only the points can
 * tell. */
static inline const uint64_t *table_cell(const Table *table, uint64_t position)
{
    const uint64_t *cell = table_first(table, position);
    uint64_t key = position & ~table->mask;
    /* Whether a point lies before is a coin's toss, so no branch hangs on the first four. */
    size_t before = (size_t)(cell[0] < key) + (cell[1] < key) + (cell[2] < key) + (cell[3] < key);
    while (UNLIKELY(cell[before] < key)) {
        if (++before == TABLE_SCAN_MAX) {
            return NULL;
        }
    }
    return UNLIKELY(cell[before] <= (key | table->mask)) ? NULL : cell + before;
}

COLD static size_t table_index_slow(const Table *table, uint64_t position)
{
    const uint64_t *cell = table_cell(table, position);
    return cell != NULL ? table_index_in(table, *cell)
                        : table_owner(table, table_search(table, position));
}

/* Return the index of the owner of a position, given its bucket's cell. */
static inline size_t table_index(const Table *table, const uint64_t *cell, uint64_t position)
{
    uint64_t key = position & ~table->mask;
    size_t before = (size_t)(cell[0] < key) + (cell[1] < key) + (cell[2] < key) + (cell[3] < key);
    /* Before the position, or too near to tell. */
    if (UNLIKELY(cell[before] <= (key | table->mask))) {
        return table_index_slow(table, position);
    }
    return table_index_in(table, cell[before]);
}

/* The same for one key, whose answer is waited for: moves on conditions are there sooner, but are
 * more work than to count and read again. */
static inline size_t table_index_soon(const Table *table, uint64_t position)
{
    const uint64_t *cell = table_first(table, position);
    uint64_t key = position & ~table->mask, found = cell[3];
    found = cell[2] >= key ? cell[2] : found;
    found = cell[1] >= key ? cell[1] : found;
    found = cell[0] >= key ? cell[0] : found;
    if (UNLIKELY(found <= (key | table->mask))) {
        return table_index_slow(table, position);
    }
    return table_index_in(table, found);
}

#endif
