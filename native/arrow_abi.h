/* What the Arrow C data interface lays down, and what of it can be placed.
 *
 * Source: https://arrow.apache.org/docs/format/CDataInterface.html
 */
#ifndef CONCORDANT_ARROW_ABI_H
#define CONCORDANT_ARROW_ABI_H

#include <stdint.h>

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

typedef enum { UNKNOWN, NARROW, WIDE, VIEWS } Layout;

/* Return how the strings of a column are laid out. */
Layout arrow_layout(const struct ArrowSchema *schema);

/* Return what is wrong with an array of that layout, or NULL. Its lengths and addresses have to be
 * believed, as by all who speak this protocol; that its parts fit together is looked at. */
const char *arrow_fault(const struct ArrowArray *array, Layout layout);

/* Return the number of the first key that is null, or -1. */
int64_t arrow_null(const struct ArrowArray *array);

#endif
