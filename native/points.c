#include "points.h"

#include <stdint.h>
#include <stdlib.h>

#include "arrays.h"
#include "xxh64.h"

#define PREFIX_MAX 256 /* an id, and the NUL after it */
#define DIGITS_MAX 20

typedef struct {
    uint64_t position;
    uint32_t rank; /* where its node stands among all by id: of equal positions, the smaller first */
    uint32_t slot;
} Point;

typedef struct {
    Point *at;
    size_t size;
} Points;

static int by_position(const void *left, const void *right)
{
    const Point *a = left, *b = right;
    if (a->position != b->position) {
        return a->position < b->position ? -1 : 1;
    }
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

/* Write a number in decimal ASCII; returns how long it is. */
static size_t decimal(uint64_t number, char *out)
{
    char digits[DIGITS_MAX];
    size_t size = 0;
    do {
        digits[size++] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    for (size_t i = 0; i < size; i++) {
        out[i] = digits[size - 1 - i];
    }
    return size;
}

/* One item of a list: the bytes before a point's number, the slot, the first number and the end. */
typedef struct {
    const char *prefix;
    Py_ssize_t length;
    unsigned int slot;
    Py_ssize_t start, stop;
} Stretch;

static int read_stretch(PyObject *item, Stretch *stretch)
{
    if (!PyArg_ParseTuple(item, "y#Inn", &stretch->prefix, &stretch->length, &stretch->slot,
                          &stretch->start, &stretch->stop)) {
        return -1;
    }
    if (stretch->length > PREFIX_MAX || stretch->start < 0) {
        PyErr_SetString(PyExc_ValueError, "no points of a node");
        return -1;
    }
    return 0;
}

static size_t number_of(const Stretch *stretch)
{
    return stretch->stop > stretch->start ? (size_t)(stretch->stop - stretch->start) : 0;
}

/* Make the points of a list of stretches, in order; returns 0, or -1 with an exception set. */
static int make_points(PyObject *list, const uint32_t *ranks, size_t slots, Points *points)
{
    size_t room = 0;
    Stretch stretch;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        if (read_stretch(PyList_GET_ITEM(list, i), &stretch) < 0) {
            return -1;
        }
        if (stretch.slot >= slots) {
            PyErr_SetString(PyExc_ValueError, "a slot without a rank");
            return -1;
        }
        room += number_of(&stretch);
    }
    points->size = 0;
    points->at = PyMem_Malloc((room + 1) * sizeof *points->at);
    if (points->at == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        char text[PREFIX_MAX + DIGITS_MAX];
        if (read_stretch(PyList_GET_ITEM(list, i), &stretch) < 0) {
            return -1;
        }
        memcpy(text, stretch.prefix, (size_t)stretch.length);
        for (size_t left = number_of(&stretch), number = (size_t)stretch.start; left;
             left--, number++) {
            size_t size = (size_t)stretch.length + decimal(number, text + stretch.length);
            points->at[points->size++] =
                (Point){xxh64(text, size), ranks[stretch.slot], stretch.slot};
        }
    }
    qsort(points->at, points->size, sizeof *points->at, by_position);
    return 0;
}

/* Tell whether a point of the old table leaves. Of the leaving ones, those before `*next` lie
 * before its position; each of them is in the table once. */
static int leaves(const Points *leaving, size_t *next, uint64_t position, uint32_t slot)
{
    while (*next < leaving->size && leaving->at[*next].position < position) {
        ++*next;
    }
    for (size_t i = *next; i < leaving->size && leaving->at[i].position == position; i++) {
        if (leaving->at[i].slot == slot) {
            return 1;
        }
    }
    return 0;
}

typedef struct {
    uint64_t *positions;
    uint32_t *owners;
    size_t size;
} Result;

static void put(Result *result, uint64_t position, uint32_t slot)
{
    result->positions[result->size] = position;
    result->owners[result->size++] = slot;
}

/* Return the two arrays, of the points that stay and those that come. */
static PyObject *merged(const Py_buffer *positions, const Py_buffer *owners, const Points *leaving,
                        const Points *coming, const uint32_t *ranks)
{
    const uint64_t *old_positions = positions->buf;
    const uint32_t *old_owners = owners->buf;
    size_t old = (size_t)positions->len / 8, next_leaving = 0, next = 0;
    size_t size = old - leaving->size + coming->size;
    Result result = {0};
    PyObject *first = new_array("Q", (Py_ssize_t)size, (void **)&result.positions);
    PyObject *second = new_array("I", (Py_ssize_t)size, (void **)&result.owners);
    size_t gone = 0;
    for (size_t at = 0; first != NULL && second != NULL && at < old; at++) {
        Point point = {old_positions[at], ranks[old_owners[at]], old_owners[at]};
        if (leaves(leaving, &next_leaving, point.position, point.slot)) {
            gone++;
            continue;
        }
        if (at - gone == old - leaving->size) {
            break; /* more stay than may: one that should leave is not there */
        }
        for (; next < coming->size && by_position(&coming->at[next], &point) < 0; next++) {
            put(&result, coming->at[next].position, coming->at[next].slot);
        }
        put(&result, point.position, point.slot);
    }
    PyObject *pair = NULL;
    if (first != NULL && second != NULL) {
        if (gone == leaving->size) {
            for (; next < coming->size; next++) {
                put(&result, coming->at[next].position, coming->at[next].slot);
            }
            pair = PyTuple_Pack(2, first, second);
        } else {
            PyErr_SetString(PyExc_ValueError, "a point that was to leave is not in the table");
        }
    }
    Py_XDECREF(first);
    Py_XDECREF(second);
    return pair;
}

static int check_table(const Py_buffer *positions, const Py_buffer *owners, const Py_buffer *ranks)
{
    const uint32_t *slot = owners->buf;
    if (positions->len % 8 || positions->len / 8 != owners->len / 4) {
        PyErr_SetString(PyExc_ValueError, "tables of different lengths");
        return -1;
    }
    for (Py_ssize_t at = 0; at < owners->len / 4; at++) {
        if (slot[at] >= (size_t)ranks->len / 4) {
            PyErr_SetString(PyExc_ValueError, "a slot without a rank");
            return -1;
        }
    }
    return 0;
}

PyObject *rearranged(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    Py_buffer positions, owners, ranks;
    PyObject *leaving_list, *coming_list, *pair = NULL;
    Points leaving = {0}, coming = {0};
    if (!PyArg_ParseTuple(arguments, "y*y*O!O!y*:rearranged", &positions, &owners, &PyList_Type,
                          &leaving_list, &PyList_Type, &coming_list, &ranks)) {
        return NULL;
    }
    size_t slots = (size_t)ranks.len / 4;
    if (check_table(&positions, &owners, &ranks) == 0 &&
        make_points(leaving_list, ranks.buf, slots, &leaving) == 0 &&
        make_points(coming_list, ranks.buf, slots, &coming) == 0) {
        if (leaving.size > (size_t)positions.len / 8) {
            PyErr_SetString(PyExc_ValueError, "more points leave than there are");
        } else {
            pair = merged(&positions, &owners, &leaving, &coming, ranks.buf);
        }
    }
    PyMem_Free(leaving.at);
    PyMem_Free(coming.at);
    PyBuffer_Release(&positions);
    PyBuffer_Release(&owners);
    PyBuffer_Release(&ranks);
    return pair;
}
