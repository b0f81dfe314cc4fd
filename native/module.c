#include "arrays.h"
#include "buckets.h"
#include "lookup.h"
#include "points.h"
#include "rendezvous.h"
#include "xxh64.h"

static PyObject *hash(PyObject *Py_UNUSED(module), PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    uint64_t value = xxh64(view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return PyLong_FromUnsignedLongLong(value);
}

static PyObject *nothing(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(argument))
{
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"xxh64", hash, METH_O,
     "xxh64(data, /)\n--\n\nReturn the XXH64 of bytes with seed 0."},
    {"rearranged", rearranged, METH_VARARGS,
     "rearranged(positions, owners, leaving, coming, ranks, /)\n--\n\n"
     "Return positions and owners without some points and with others.\n\n"
     "Points come as (id of the node, slot, first number, end of the numbers)."},
    {"nothing", nothing, METH_O,
     "nothing(argument, /)\n--\n\nDo nothing: what a call costs, for benchmarks to compare with."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "concordant._native",
    .m_doc = "The placement kernel in C; concordant.placement.kernel chooses it.",
    .m_size = -1,
    .m_methods = functions,
};

static int add_types(PyObject *module)
{
    PyTypeObject *types[] = {
        &PlacerType,
        &LookupType,
        &JumpLookupType,
        &MementoLookupType,
#ifdef HAVE_RENDEZVOUS
        &RendezvousLookupType,
#endif
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (PyModule_AddType(module, types[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) {
        return NULL;
    }
    if (arrays_init() < 0 || placer_init() < 0 || lookup_init() < 0 || add_types(module) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
