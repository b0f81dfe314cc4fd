#include "arrow.h"

#include <string.h>

#include "arrow_abi.h"
#include "columns.h"
#include "errors.h"

/* A view: its length, and then the bytes themselves or where they are. */
static void place_views(Batch *batch, const struct ArrowArray *array)
{
    const unsigned char *view = (const unsigned char *)array->buffers[1] + array->offset * 16;
    for (int64_t at = 0; at < array->length; at++, view += 16) {
        int32_t size, buffer, start;
        const unsigned char *key = view + 4;
        memcpy(&size, view, 4);
        if (size > 12) {
            memcpy(&buffer, view + 8, 4);
            memcpy(&start, view + 12, 4);
            key = (const unsigned char *)array->buffers[2 + buffer] + start;
        }
        batch_add(batch, key, (size_t)size);
    }
    batch_flush(batch);
}

static void place_chunk(Batch *batch, const struct ArrowArray *array, Layout layout)
{
    if (array->length == 0) {
        return;
    }
    if (layout == VIEWS) {
        place_views(batch, array);
        return;
    }
    place_by_offsets(batch, array->buffers[2], array->buffers[1], layout == WIDE,
                     (Py_ssize_t)array->offset, (Py_ssize_t)array->length);
}

/* Place the keys of all chunks; returns the indices, or NULL with an exception set. */
static PyObject *place_chunks(Batch *batch, struct ArrowArray *chunks, Py_ssize_t number,
                              Layout layout)
{
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 0; i < number; i++) {
        const char *fault = arrow_fault(&chunks[i], layout);
        if (fault != NULL) {
            return PyErr_Format(usage_error, "the Arrow array %s; make it anew", fault);
        }
        int64_t null = arrow_null(&chunks[i]);
        if (null >= 0) {
            return refuse_null(count + (Py_ssize_t)null);
        }
        count += (Py_ssize_t)chunks[i].length;
    }
    PyObject *indices = batch_begin(batch, count);
    if (indices == NULL) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < number; i++) {
        place_chunk(batch, &chunks[i], layout);
    }
    Py_END_ALLOW_THREADS
    return indices;
}

/* Raise UsageError for a type that is not read here, unless there is another way to the keys. */
static void refuse_type(const struct ArrowSchema *schema, int other_way)
{
    if (!other_way) {
        PyErr_Format(usage_error,
                     "keys of Arrow type %s cannot be placed; cast them to strings or binary",
                     schema->format ? schema->format : "?");
    }
}

static PyObject *place_array(Batch *batch, PyObject *pair, int other_way)
{
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
        PyErr_SetString(PyExc_TypeError, "__arrow_c_array__ returned no two capsules");
        return NULL;
    }
    struct ArrowSchema *schema =
        PyCapsule_GetPointer(PyTuple_GET_ITEM(pair, 0), "arrow_schema");
    struct ArrowArray *array = PyCapsule_GetPointer(PyTuple_GET_ITEM(pair, 1), "arrow_array");
    if (schema == NULL || array == NULL) {
        return NULL;
    }
    Layout layout = arrow_layout(schema);
    /* The capsules release what they hold. */
    if (layout == UNKNOWN) {
        refuse_type(schema, other_way);
        return NULL;
    }
    return place_chunks(batch, array, 1, layout);
}

/* Append what is left of a stream to the chunks; returns their number, or -1 with an exception
 * set. What was read is in `chunks` even then. */
static Py_ssize_t read_chunks(struct ArrowArrayStream *stream, struct ArrowArray **chunks,
                              Py_ssize_t *number)
{
    for (Py_ssize_t room = 0;;) {
        if (*number == room) {
            room = room * 2 + 4;
            struct ArrowArray *more = PyMem_Realloc(*chunks, (size_t)room * sizeof **chunks);
            if (more == NULL) {
                PyErr_NoMemory();
                return -1;
            }
            *chunks = more;
        }
        struct ArrowArray *next = &(*chunks)[*number];
        next->release = NULL;
        if (stream->get_next(stream, next) != 0) {
            const char *why = stream->get_last_error(stream);
            PyErr_Format(PyExc_OSError, "reading the Arrow stream failed: %s", why ? why : "?");
            return -1;
        }
        if (next->release == NULL) {
            return *number;
        }
        ++*number;
    }
}

/* Releasing may run Python, which must not meet the exception that we are about to raise. */
static void release_all(struct ArrowSchema *schema, struct ArrowArray *chunks, Py_ssize_t number)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyObject *raised = PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
#endif
    for (Py_ssize_t i = 0; i < number; i++) {
        chunks[i].release(&chunks[i]);
    }
    if (schema->release != NULL) {
        schema->release(schema);
    }
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(raised);
#else
    PyErr_Restore(type, value, traceback);
#endif
}

static PyObject *place_stream(Batch *batch, PyObject *capsule, int other_way)
{
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, "arrow_array_stream");
    struct ArrowSchema schema = {0};
    struct ArrowArray *chunks = NULL;
    Py_ssize_t number = 0;
    PyObject *indices = NULL;
    if (stream == NULL) {
        return NULL;
    }
    if (stream->release == NULL) {
        return PyErr_Format(usage_error, "the Arrow stream was released before; make it anew");
    }
    if (stream->get_schema(stream, &schema) != 0) {
        PyErr_SetString(PyExc_OSError, "the Arrow stream has no schema");
        return NULL;
    }
    Layout layout = arrow_layout(&schema);
    if (layout == UNKNOWN) {
        refuse_type(&schema, other_way);
    } else if (read_chunks(stream, &chunks, &number) >= 0) {
        indices = place_chunks(batch, chunks, number, layout);
    }
    release_all(&schema, chunks, number);
    PyMem_Free(chunks);
    return indices;
}

int gives_arrow(PyObject *keys)
{
    return PyObject_HasAttrString(keys, "__arrow_c_array__") ||
           PyObject_HasAttrString(keys, "__arrow_c_stream__");
}

PyObject *place_arrow(Batch *batch, PyObject *keys, int other_way)
{
    int whole = PyObject_HasAttrString(keys, "__arrow_c_array__");
    PyObject *given = PyObject_CallMethod(
        keys, whole ? "__arrow_c_array__" : "__arrow_c_stream__", NULL);
    if (given == NULL) {
        return NULL;
    }
    PyObject *indices = whole ? place_array(batch, given, other_way)
                              : place_stream(batch, given, other_way);
    Py_DECREF(given);
    return indices;
}
