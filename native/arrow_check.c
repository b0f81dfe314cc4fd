#include "arrow_abi.h"

#include <stddef.h>
#include <string.h>

Layout arrow_layout(const struct ArrowSchema *schema)
{
    const char *format = schema->format == NULL ? "" : schema->format;
    if (schema->dictionary != NULL) {
        return UNKNOWN;
    }
    if (strcmp(format, "u") == 0 || strcmp(format, "z") == 0) {
        return NARROW;
    }
    if (strcmp(format, "U") == 0 || strcmp(format, "Z") == 0) {
        return WIDE;
    }
    return strcmp(format, "vu") == 0 || strcmp(format, "vz") == 0 ? VIEWS : UNKNOWN;
}

int64_t arrow_null(const struct ArrowArray *array)
{
    const unsigned char *valid = array->buffers[0];
    if (array->null_count == 0 || valid == NULL) {
        return -1;
    }
    for (int64_t at = 0; at < array->length; at++) {
        int64_t bit = array->offset + at;
        if (!(valid[bit >> 3] >> (bit & 7) & 1)) {
            return at;
        }
    }
    return -1;
}

/* Tell whether offsets ascend from no less than 0; without a branch for each. */
static int narrow_ascend(const int32_t *ends, int64_t count)
{
    int wrong = ends[0] < 0;
    for (int64_t at = 0; at < count; at++) {
        wrong |= ends[at + 1] < ends[at];
    }
    return !wrong;
}

static int wide_ascend(const int64_t *ends, int64_t count)
{
    int wrong = ends[0] < 0;
    for (int64_t at = 0; at < count; at++) {
        wrong |= ends[at + 1] < ends[at];
    }
    return !wrong;
}

/* Tell whether each view that is not all there lies in one of the buffers behind the views, whose
 * lengths are in the last one. */
static int views_lie_within(const struct ArrowArray *array)
{
    const unsigned char *view = (const unsigned char *)array->buffers[1] + array->offset * 16;
    int64_t buffers = array->n_buffers - 3;
    const int64_t *lengths = array->buffers[array->n_buffers - 1];
    for (int64_t at = 0; at < array->length; at++, view += 16) {
        int32_t size, buffer, start;
        memcpy(&size, view, 4);
        memcpy(&buffer, view + 8, 4);
        memcpy(&start, view + 12, 4);
        if (size < 0 || (size > 12 && (buffer < 0 || buffer >= buffers || start < 0 ||
                                       array->buffers[2 + buffer] == NULL || lengths == NULL ||
                                       (int64_t)start + size > lengths[buffer]))) {
            return 0;
        }
    }
    return 1;
}

const char *arrow_fault(const struct ArrowArray *array, Layout layout)
{
    if (array->release == NULL) {
        return "was released before";
    }
    if (array->length < 0 || array->offset < 0 || array->offset > INT64_MAX / 16 - array->length) {
        return "has no such length or offset";
    }
    if (array->buffers == NULL || array->n_buffers < 3 ||
        (layout != VIEWS && array->n_buffers > 3)) {
        return "has other buffers than its type";
    }
    if (array->length == 0) {
        return NULL;
    }
    if (array->buffers[1] == NULL) {
        return "has no offsets or views";
    }
    if (layout == VIEWS) {
        return views_lie_within(array) ? NULL : "has views of what is not there";
    }
    int64_t last;
    if (layout == NARROW) {
        const int32_t *ends = (const int32_t *)array->buffers[1] + array->offset;
        if (!narrow_ascend(ends, array->length)) {
            return "has offsets that do not ascend";
        }
        last = ends[array->length];
    } else {
        const int64_t *ends = (const int64_t *)array->buffers[1] + array->offset;
        if (!wide_ascend(ends, array->length)) {
            return "has offsets that do not ascend";
        }
        last = ends[array->length];
    }
    return last > 0 && array->buffers[2] == NULL ? "has no text" : NULL;
}
