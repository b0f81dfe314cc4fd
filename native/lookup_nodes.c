#include "arrays.h"
#include "errors.h"
#include "keys.h"
#include "lookup.h"

/* Up to so many nodes wait on the stack, and are told apart by looking at each. */
#define FEW 16

static PyObject *check_count;  /* concordant.placement.keys.check_count */
static PyObject *nodes_chosen; /* the name of Placement's method */

/* --- going round -------------------------------------------------------------------------- */

/* The points that follow a position: by the cells where they tell, else by the owners. */
typedef struct {
    const Table *table;
    size_t at;
    int by_cells;
} Walk;

static inline Walk walk_from(const Table *table, uint64_t position)
{
    const uint64_t *cell = table_cell(table, position);
    return cell != NULL ? (Walk){table, (size_t)(cell - table->cells), 1}
                        : (Walk){table, table_search(table, position), 0};
}

/* Return the index of the next point's owner; the same point may come again. */
static inline uint32_t walk_on(Walk *walk)
{
    const Table *table = walk->table;
    if (walk->by_cells) {
        uint64_t cell = table->cells[walk->at];
        walk->at += cell & TABLE_SKIP_MAX;
        walk->at = walk->at < table->cells_size ? walk->at : 0;
        return (uint32_t)table_index_in(table, cell);
    }
    uint32_t index = table_owner(table, walk->at);
    walk->at = walk->at + 1 < table->size ? walk->at + 1 : 0;
    return index;
}

/* Store few different nodes; returns how many were found. */
static inline Py_ssize_t few(Walk *walk, Py_ssize_t wanted, uint32_t *found)
{
    Py_ssize_t count = 0;
    /* Bounded by one round: every node has a point, but a table without must not hang. */
    for (size_t left = walk->table->cells_size; count < wanted && left > 0; left--) {
        uint32_t index = walk_on(walk);
        int known = 0;
        for (Py_ssize_t i = 0; i < count && !known; i++) {
            known = found[i] == index;
        }
        if (!known) {
            found[count++] = index;
        }
    }
    return count;
}

/* The same for any number; `seen` has a zero for each node. */
static Py_ssize_t many(Walk *walk, Py_ssize_t wanted, uint32_t *found, unsigned char *seen)
{
    Py_ssize_t count = 0;
    for (size_t left = walk->table->cells_size; count < wanted && left > 0; left--) {
        uint32_t index = walk_on(walk);
        if (!seen[index]) {
            seen[index] = 1;
            found[count++] = index;
        }
    }
    return count;
}

/* --- nodes(key, n) ------------------------------------------------------------------------ */

/* Leave the choice among nodes to Python: over zones, or without some. */
static PyObject *choose(Lookup *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *given[8] = {(PyObject *)self};
    Py_ssize_t all = nargs + PyTuple_GET_SIZE(names);
    if (all >= (Py_ssize_t)(sizeof given / sizeof *given)) {
        PyErr_SetString(PyExc_TypeError, "nodes() takes a key, n, spread and exclude");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < all; i++) {
        given[i + 1] = args[i];
    }
    return PyObject_VectorcallMethod(nodes_chosen, given, (size_t)nargs + 1, names);
}

/* Tell whether a call has arguments that only Python takes. */
static int is_choice(PyObject *names)
{
    for (Py_ssize_t i = 0; names != NULL && i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        if (PyUnicode_CompareWithASCIIString(name, "spread") == 0 ||
            PyUnicode_CompareWithASCIIString(name, "exclude") == 0) {
            return 1;
        }
    }
    return 0;
}

/* Store the key and n that a call gives; returns 0, or -1 with an exception set. */
static int key_and_n(PyObject *const *args, Py_ssize_t nargs, PyObject *names, PyObject *given[2])
{
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    given[0] = nargs > 0 ? args[0] : NULL;
    given[1] = nargs > 1 ? args[1] : NULL;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        int place = PyUnicode_CompareWithASCIIString(name, "n") == 0     ? 1
                    : PyUnicode_CompareWithASCIIString(name, "key") == 0 ? 0
                                                                         : -1;
        if (place < 0 || given[place] != NULL) {
            PyErr_Format(PyExc_TypeError, "nodes() got an unexpected argument %R", name);
            return -1;
        }
        given[place] = args[nargs + i];
    }
    if (nargs > 2 || given[0] == NULL || given[1] == NULL) {
        PyErr_SetString(PyExc_TypeError, "nodes() takes a key and n");
        return -1;
    }
    return 0;
}

/* Return n if it counts some of the nodes, or -1 with an exception set. */
static Py_ssize_t counted(const Lookup *self, PyObject *n)
{
    PyObject *order = self->head.order;
    Py_ssize_t nodes = order == NULL ? 0 : PyTuple_GET_SIZE(order);
    PyObject *checked = PyObject_CallFunction(check_count, "On", n, nodes);
    if (checked == NULL) {
        return -1;
    }
    Py_ssize_t wanted = PyLong_AsSsize_t(checked);
    Py_DECREF(checked);
    return wanted;
}

static PyObject *listed(const Lookup *self, const uint32_t *found, Py_ssize_t count)
{
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        PyList_SET_ITEM(list, i, Py_NewRef(PyTuple_GET_ITEM(self->head.order, found[i])));
    }
    return list;
}

/* Return a list of so many nodes; there are so many, and at least one is wanted. */
static PyObject *preferred(const Lookup *self, uint64_t position, Py_ssize_t wanted)
{
    Walk walk = walk_from(&self->table, position);
    uint32_t *found = PyMem_Malloc((size_t)wanted * sizeof *found);
    unsigned char *seen = PyMem_Calloc(self->table.nodes, 1);
    PyObject *list = NULL;
    if (found == NULL || seen == NULL) {
        PyErr_NoMemory();
    } else if (many(&walk, wanted, found, seen) < wanted) {
        PyErr_SetString(usage_error, "some nodes have no point in the table");
    } else {
        list = listed(self, found, wanted);
    }
    PyMem_Free(found);
    PyMem_Free(seen);
    return list;
}

COLD static PyObject *nodes_slow(Lookup *self, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *names)
{
    PyObject *given[2];
    uint64_t position;
    if (is_choice(names)) {
        return choose(self, args, nargs, names);
    }
    if (key_and_n(args, nargs, names, given) < 0) {
        return NULL;
    }
    Py_ssize_t wanted = counted(self, given[1]);
    if (wanted < 0 || key_position(given[0], &position) < 0) {
        return NULL;
    }
    if (wanted == 0) {
        return PyList_New(0);
    }
    /* Nodes without a table: it was refused. */
    return self->head.place == NULL ? refuse_empty() : preferred(self, position, wanted);
}

/* What is usual, a short key and few nodes; the rest takes its time. */
PyObject *lookup_nodes(Lookup *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    const void *text;
    size_t size;
    uint32_t found[FEW];
    if (names != NULL || nargs != 2 || self->head.place == NULL || !PyLong_CheckExact(args[1]) ||
        !key_text(args[0], &text, &size) || size >= 32) {
        return nodes_slow(self, args, nargs, names);
    }
    Py_ssize_t wanted = PyLong_AsSsize_t(args[1]);
    if (wanted <= 0 || wanted > FEW || wanted > PyTuple_GET_SIZE(self->head.order)) {
        PyErr_Clear();
        return nodes_slow(self, args, nargs, names);
    }
    Walk walk = walk_from(&self->table, xxh64_short(text, size));
    if (few(&walk, wanted, found) < wanted) {
        return nodes_slow(self, args, nargs, names);
    }
    return listed(self, found, wanted);
}

int lookup_init(void)
{
    check_count = attribute("concordant.placement.keys", "check_count");
    nodes_chosen = PyUnicode_InternFromString("_nodes_chosen");
    return check_count == NULL || nodes_chosen == NULL ? -1 : 0;
}
