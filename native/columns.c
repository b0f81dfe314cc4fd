#include "columns.h"

#include <stdlib.h>
#include <string.h>

/* A function for either width of the offsets. */
#define DEFINE_PLACE_BY(name, Offset)                                                            \
    static void name(Batch *batch, const char *data, const Offset *ends, Py_ssize_t count)       \
    {                                                                                            \
        Py_ssize_t at = 0;                                                                       \
        for (; count - at >= 4; at += 4) {                                                       \
            const void *keys[4];                                                                 \
            size_t sizes[4];                                                                     \
            for (int i = 0; i < 4; i++) {                                                        \
                keys[i] = data + ends[at + i];                                                   \
                sizes[i] = (size_t)(ends[at + i + 1] - ends[at + i]);                            \
            }                                                                                    \
            batch_add_four(batch, keys, sizes);                                                  \
        }                                                                                        \
        for (; at < count; at++) {                                                               \
            batch_add(batch, data + ends[at], (size_t)(ends[at + 1] - ends[at]));                \
        }                                                                                        \
        batch_flush(batch);                                                                      \
    }

DEFINE_PLACE_BY(place_by_narrow, int32_t)
DEFINE_PLACE_BY(place_by_wide, int64_t)

void place_by_offsets(Batch *batch, const char *data, const void *offsets, int wide,
                      Py_ssize_t first, Py_ssize_t count)
{
    if (wide) {
        place_by_wide(batch, data, (const int64_t *)offsets + first, count);
    } else {
        place_by_narrow(batch, data, (const int32_t *)offsets + first, count);
    }
}

void place_by_width(Batch *batch, const char *data, Py_ssize_t width, Py_ssize_t count)
{
    for (Py_ssize_t at = 0; at < count; at++, data += width) {
        Py_ssize_t size = width;
        while (size > 0 && data[size - 1] == 0) {
            size--;
        }
        batch_add(batch, data, (size_t)size);
    }
    batch_flush(batch);
}

/* Write a character as UTF-8; returns the bytes it took, or 0 if it is none. */
static inline int utf8(uint32_t character, unsigned char *out)
{
    if (character < 0x80) {
        out[0] = (unsigned char)character;
        return 1;
    }
    if (character < 0x800) {
        out[0] = (unsigned char)(0xC0 | character >> 6);
        out[1] = (unsigned char)(0x80 | (character & 0x3F));
        return 2;
    }
    if (character < 0x10000) {
        if (character >= 0xD800 && character < 0xE000) {
            return 0;
        }
        out[0] = (unsigned char)(0xE0 | character >> 12);
        out[1] = (unsigned char)(0x80 | (character >> 6 & 0x3F));
        out[2] = (unsigned char)(0x80 | (character & 0x3F));
        return 3;
    }
    if (character < 0x110000) {
        out[0] = (unsigned char)(0xF0 | character >> 18);
        out[1] = (unsigned char)(0x80 | (character >> 12 & 0x3F));
        out[2] = (unsigned char)(0x80 | (character >> 6 & 0x3F));
        out[3] = (unsigned char)(0x80 | (character & 0x3F));
        return 4;
    }
    return 0;
}

Py_ssize_t place_by_ucs4(Batch *batch, const char *data, Py_ssize_t width, Py_ssize_t count)
{
    unsigned char *text = malloc((size_t)width * 4 + 1);
    Py_ssize_t bad = -1;
    if (text == NULL) {
        return -2;
    }
    for (Py_ssize_t at = 0; at < count && bad < 0; at++, data += width * 4) {
        Py_ssize_t length = width;
        size_t size = 0;
        uint32_t character;
        for (; length > 0; length--) {
            memcpy(&character, data + (length - 1) * 4, 4);
            if (character != 0) {
                break;
            }
        }
        for (Py_ssize_t i = 0; i < length && bad < 0; i++) {
            memcpy(&character, data + i * 4, 4);
            int taken = utf8(character, text + size);
            size += (size_t)taken;
            bad = taken ? -1 : at;
        }
        if (bad < 0) {
            batch_add(batch, text, size);
        }
    }
    batch_flush(batch);
    free(text);
    return bad;
}
