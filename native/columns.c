#include "columns.h"

#include <stdlib.h>
#include <string.h>

#include "xxh64.h"

void place_by_offsets(Placing *placing, const char *data, const void *offsets, int wide,
                      Py_ssize_t first, Py_ssize_t count)
{
    if (wide) {
        const int64_t *ends = (const int64_t *)offsets + first;
        for (Py_ssize_t at = 0; at < count; at++) {
            place(placing, xxh64(data + ends[at], (size_t)(ends[at + 1] - ends[at])));
        }
    } else {
        const int32_t *ends = (const int32_t *)offsets + first;
        for (Py_ssize_t at = 0; at < count; at++) {
            place(placing, xxh64(data + ends[at], (size_t)(ends[at + 1] - ends[at])));
        }
    }
    placed(placing);
}

void place_by_width(Placing *placing, const char *data, Py_ssize_t width, Py_ssize_t count)
{
    for (Py_ssize_t at = 0; at < count; at++, data += width) {
        Py_ssize_t size = width;
        while (size > 0 && data[size - 1] == 0) {
            size--;
        }
        place(placing, xxh64(data, (size_t)size));
    }
    placed(placing);
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

Py_ssize_t place_by_ucs4(Placing *placing, const char *data, Py_ssize_t width,
                         Py_ssize_t count)
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
            place(placing, xxh64(text, size));
        }
    }
    placed(placing);
    free(text);
    return bad;
}
