#include "points.h"

#include <stdint.h>
#include <string.h>

#include "arrays.h"
#include "sort.h"
#include "xxh64.h"

#define ID_MAX 255
#define DIGITS_MAX 20

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

/* One item of a list: a node's id and slot, and the first of its points' numbers and their end. */
typedef struct {
    const char *id;
    Py_ssize_t length;
    unsigned int slot;
    Py_ssize_t start, stop;
} Stretch;

static int read_stretch(PyObject *item, Stretch *stretch)
{
    if (!PyTuple_Check(item)) {
        PyErr_SetString(PyExc_TypeError, "a stretch of points is a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(item, "s#Inn", &stretch->id, &stretch->length, &stretch->slot,
                          &stretch->start, &stretch->stop)) {
        return -1;
    }
    if (stretch->length > ID_MAX || stretch->start < 0) {
        PyErr_SetString(PyExc_ValueError, "no points of a node");
        return -1;
    }
    return 0;
}

static size_t number_of(const Stretch *stretch)
{
    return stretch->stop > stretch->start ? (size_t)(stretch->stop - stretch->start) : 0;
}

/* Store how many points a list of stretches means; returns 0, or -1 with an exception set. */
static int count_points(PyObject *list, size_t slots, size_t *count)
{
    Stretch stretch;
    *count = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        if (read_stretch(PyList_GET_ITEM(list, i), &stretch) < 0) {
            return -1;
        }
        if (stretch.slot >= slots || number_of(&stretch) > PY_SSIZE_T_MAX / 16 - *count) {
            PyErr_SetString(PyExc_ValueError, "a slot without a rank, or too many points");
            return -1;
        }
        *count += number_of(&stretch);
    }
    return 0;
}

/* Make the points of a list that was counted, in order; returns 0, or -1 with an exception set. */
static int make_points(PyObject *list, size_t slots, size_t room, Points *points)
{
    char text[ID_MAX + 1 + DIGITS_MAX];
    Stretch stretch;
    points->size = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        if (read_stretch(PyList_GET_ITEM(list, i), &stretch) < 0) {
            return -1;
        }
        /* Reading an item may have run code of its own, which changed the list. */
        if (stretch.slot >= slots || number_of(&stretch) > room - points->size) {
            PyErr_SetString(PyExc_ValueError, "the list changed while it was read");
            return -1;
        }
        size_t length = (size_t)stretch.length + 1, number = (size_t)stretch.start;
        memcpy(text, stretch.id, length - 1);
        text[length - 1] = 0;
        for (size_t left = number_of(&stretch); left; left--, number++) {
            points->positions[points->size] = xxh64(text, length + decimal(number, text + length));
            points->slots[points->size++] = stretch.slot;
        }
    }
    sort_points(points);
    return 0;
}

/* Make the points of a list in memory of their own. */
static int make_aside(PyObject *list, size_t slots, Points *points)
{
    size_t count;
    if (count_points(list, slots, &count) < 0) {
        return -1;
    }
    points->positions = PyMem_Malloc((count + 1) * sizeof *points->positions);
    points->slots = PyMem_Malloc((count + 1) * sizeof *points->slots);
    if (points->positions == NULL || points->slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return make_points(list, slots, count, points);
}

static void free_points(Points *points)
{
    PyMem_Free(points->positions);
    PyMem_Free(points->slots);
}

/* Return two new arrays for so many points. */
static PyObject *new_pair(size_t size, Points *points)
{
    void *positions, *slots;
    PyObject *first = new_array("Q", (Py_ssize_t)size, &positions);
    PyObject *second = first == NULL ? NULL : new_array("I", (Py_ssize_t)size, &slots);
    PyObject *pair = second == NULL ? NULL : PyTuple_Pack(2, first, second);
    Py_XDECREF(first);
    Py_XDECREF(second);
    if (pair != NULL) {
        points->positions = positions;
        points->slots = slots;
        points->size = 0;
    }
    return pair;
}

/* Tell whether a point of the old table leaves. Of the leaving ones, those before `*next` lie
 * before its position; each of them is in the table once. */
static int leaves(const Points *leaving, size_t *next, uint64_t position, uint32_t slot)
{
    while (*next < leaving->size && leaving->positions[*next] < position) {
        ++*next;
    }
    for (size_t i = *next; i < leaving->size && leaving->positions[i] == position; i++) {
        if (leaving->slots[i] == slot) {
            return 1;
        }
    }
    return 0;
}

static inline void put(Points *points, uint64_t position, uint32_t slot)
{
    points->positions[points->size] = position;
    points->slots[points->size++] = slot;
}

/* Write the points that stay and those that come; returns whether all that leave were there. */
static int merge(const Points *old, const Points *leaving, const Points *coming, Points *result)
{
    size_t next_leaving = 0, next = 0, gone = 0;
    for (size_t at = 0; at < old->size; at++) {
        uint64_t position = old->positions[at];
        uint32_t slot = old->slots[at];
        if (leaves(leaving, &next_leaving, position, slot)) {
            gone++;
            continue;
        }
        if (at - gone == old->size - leaving->size) {
            return 0; /* more stay than may */
        }
        for (; next < coming->size && comes_before(old->ranks, coming->positions[next],
                                                   coming->slots[next], position, slot);
             next++) {
            put(result, coming->positions[next], coming->slots[next]);
        }
        put(result, position, slot);
    }
    for (; gone == leaving->size && next < coming->size; next++) {
        put(result, coming->positions[next], coming->slots[next]);
    }
    return gone == leaving->size;
}

/* Return the arrays of a table that was empty: made where they stay, since there may be many. */
static PyObject *first_table(PyObject *coming, size_t slots, const uint32_t *ranks)
{
    Points points = {.ranks = ranks};
    size_t count;
    if (count_points(coming, slots, &count) < 0) {
        return NULL;
    }
    PyObject *pair = new_pair(count, &points);
    if (pair != NULL && make_points(coming, slots, count, &points) < 0) {
        Py_CLEAR(pair);
    }
    return pair;
}

static PyObject *changed_table(const Points *old, PyObject *leaving_list, PyObject *coming_list,
                               size_t slots)
{
    Points leaving = {.ranks = old->ranks}, coming = {.ranks = old->ranks}, result;
    PyObject *pair = NULL;
    if (make_aside(leaving_list, slots, &leaving) == 0 &&
        make_aside(coming_list, slots, &coming) == 0) {
        if (leaving.size > old->size) {
            PyErr_SetString(PyExc_ValueError, "more points leave than there are");
        } else {
            pair = new_pair(old->size - leaving.size + coming.size, &result);
        }
    }
    if (pair != NULL && !merge(old, &leaving, &coming, &result)) {
        PyErr_SetString(PyExc_ValueError, "a point that was to leave is not in the table");
        Py_CLEAR(pair);
    }
    free_points(&leaving);
    free_points(&coming);
    return pair;
}

static int check_table(const Py_buffer *positions, const Py_buffer *owners, const Py_buffer *ranks)
{
    const uint32_t *slot = owners->buf;
    if (positions->len / 8 != owners->len / 4) {
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
    PyObject *given[3], *leaving, *coming, *pair = NULL;
    Py_buffer positions = {0}, owners = {0}, ranks = {0};
    if (!PyArg_ParseTuple(arguments, "OOO!O!O:rearranged", &given[0], &given[1], &PyList_Type,
                          &leaving, &PyList_Type, &coming, &given[2])) {
        return NULL;
    }
    if (take_buffer(given[0], &positions, 8) == 0 && take_buffer(given[1], &owners, 4) == 0 &&
        take_buffer(given[2], &ranks, 4) == 0 && check_table(&positions, &owners, &ranks) == 0) {
        Points old = {.positions = positions.buf,
                      .slots = owners.buf,
                      .size = (size_t)positions.len / 8,
                      .ranks = ranks.buf};
        size_t slots = (size_t)ranks.len / 4;
        pair = old.size == 0 && PyList_GET_SIZE(leaving) == 0
                   ? first_table(coming, slots, old.ranks)
                   : changed_table(&old, leaving, coming, slots);
    }
    PyBuffer_Release(&positions);
    PyBuffer_Release(&owners);
    PyBuffer_Release(&ranks);
    return pair;
}
