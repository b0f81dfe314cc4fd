"""Arrow columns: of pyarrow, and malformed ones made by hand."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from random import Random
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from tools.fuzz_kernel.drawing import lookups, outcome, survives, table, text

_TYPES = (
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
)


def columns(random: Random) -> None:
    """Place slices and chunks of every type of text, and refuse nulls."""
    one, other = lookups(table(random))
    type_ = random.choice(_TYPES)
    texts: list[Any] = [text(random) for _ in range(random.randrange(90))]
    if texts and random.random() < 0.2:
        texts[random.randrange(len(texts))] = None
    as_bytes = "binary" in str(type_)
    values = [each.encode() if as_bytes and each is not None else each for each in texts]
    whole = pa.array(values, type_)
    start = random.randrange(len(texts) + 1)
    stop = random.randint(start, len(texts))
    if random.random() < 0.5:
        column: Any = whole[start:stop]
    else:
        column = pa.chunked_array([whole[:start], whole[start:stop], whole[stop:]], type_)
    expected = outcome(lambda: one.index_many(column.to_pylist()))
    assert outcome(lambda: other.index_many(column)) == expected


# --- malformed ------------------------------------------------------------------------------


class Schema(ctypes.Structure):
    """``struct ArrowSchema``."""


Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.c_void_p),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]


class Array(ctypes.Structure):
    """``struct ArrowArray``."""


Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.c_void_p),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]

Ending = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
Reading = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
Telling = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)


class Stream(ctypes.Structure):
    """``struct ArrowArrayStream``."""

    _fields_ = (
        ("get_schema", Reading),
        ("get_next", Reading),
        ("get_last_error", Telling),
        ("release", Ending),
        ("private_data", ctypes.c_void_p),
    )


# Releases nothing: all memory here is Python's.
_release = Ending(lambda _: None)
_RELEASE = ctypes.cast(_release, ctypes.c_void_p).value

_capsule = ctypes.pythonapi.PyCapsule_New
_capsule.restype = ctypes.py_object
_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class Given:
    """A column by hand; ``kept`` is what its addresses mean."""

    def __init__(self, give: Callable[[], Any], stream: bool, kept: list[Any]) -> None:
        self.kept = kept
        setattr(self, "__arrow_c_stream__" if stream else "__arrow_c_array__", give)


def _memory(kept: list[Any], data: bytes) -> int:
    # Of just that size, so that a sanitizer sees what is read beyond.
    held = (ctypes.c_char * max(1, len(data))).from_buffer_copy(data or b"\0")
    kept.append(held)
    return ctypes.addressof(held)


def _numbers(values: list[int], size: int) -> bytes:
    return b"".join(value.to_bytes(size, "little", signed=True) for value in values)


def _array(random: Random, kept: list[Any], layout: str) -> tuple[Array, int]:
    """Return an array of that layout, right but for what chance has made wrong."""
    texts = [text(random).encode() for _ in range(random.randrange(12))]
    data = b"".join(texts)
    count = len(texts)
    buffers: list[int | None] = [None]
    if layout in "uUzZ":
        ends = [0]
        for each in texts:
            ends.append(ends[-1] + len(each))
        if random.random() < 0.3:
            # Within the data all the same: how long that is has to be believed.
            ends[random.randrange(len(ends))] = random.randint(-3, len(data))
        buffers += [_memory(kept, _numbers(ends, 4 if layout in "uz" else 8)), _memory(kept, data)]
    else:
        views, at = b"", 0
        for each in texts:
            if len(each) <= 12:
                views += _numbers([len(each)], 4) + each.ljust(12, b"\0")
            else:
                start, buffer, size = at, 0, len(each)
                if random.random() < 0.2:
                    start, buffer, size = random.choice(
                        ((-1, 0, size), (at, 1, size), (at, -1, size), (at, 0, 2**30), (at, 0, -9))
                    )
                views += _numbers([size], 4) + each[:4] + _numbers([buffer, start], 4)
            at += len(each)
        sizes = _memory(kept, _numbers([len(data)], 8))
        buffers += [_memory(kept, views), _memory(kept, data), sizes]
    if random.random() < 0.1:
        buffers[random.randrange(len(buffers))] = None
    if random.random() < 0.2:
        buffers[0] = _memory(kept, random.randbytes(4))
    pointers = (ctypes.c_void_p * len(buffers))(*buffers)
    kept.append(pointers)
    length = random.choice((count, count, count, random.randrange(count + 1), -1))
    offset = random.choice((0, 0, 0, count - length if length >= 0 else 0, -1, 2**62))
    if length > 0 and offset > 0:
        length = min(length, count - offset) if offset <= count else length
    made = Array(
        length,
        random.choice((0, -1)),
        offset,
        random.choice((len(buffers), len(buffers), len(buffers), 0, 1, 2, -1)),
        0,
        pointers if random.random() < 0.95 else None,
        None,
        None,
        _RELEASE if random.random() < 0.95 else None,
        None,
    )
    kept.append(made)
    return made, ctypes.addressof(made)


def _schema(random: Random, layout: str) -> Schema:
    format_ = layout.encode() if random.random() < 0.9 else random.choice((b"i", b"", b"+l", None))
    other = ctypes.addressof(Schema()) if random.random() < 0.03 else None
    return Schema(format_, None, None, 0, 0, None, other, _RELEASE, None)


def _stream(random: Random, kept: list[Any], layout: str) -> int:
    chunks = [_array(random, kept, layout)[0] for _ in range(random.randrange(4))]
    fails = random.random() < 0.2

    def get_schema(_: Any, out: int) -> int:
        if random.random() < 0.1:
            return 5
        schema = _schema(random, layout)
        kept.append(schema)
        ctypes.memmove(out, ctypes.addressof(schema), ctypes.sizeof(schema))
        return 0

    def get_next(_: Any, out: int) -> int:
        if chunks:
            ctypes.memmove(out, ctypes.addressof(chunks[0]), ctypes.sizeof(Array))
            del chunks[0]
        elif fails:
            return 5
        else:
            ctypes.memset(out, 0, ctypes.sizeof(Array))
        return 0

    def get_last_error(_: Any) -> int | None:
        return random.choice((None, _memory(kept, b"a pipe broke\0")))

    functions = Reading(get_schema), Reading(get_next), Telling(get_last_error)
    made = Stream(*functions, _release, None)
    if random.random() < 0.05:
        made.release = Ending()
    kept += [made, functions]
    return ctypes.addressof(made)


def malformed(random: Random) -> None:
    """Place columns whose parts do not fit together, under names that may be wrong."""
    _, lookup = lookups(table(random))
    kept: list[Any] = []
    layout = random.choice(("u", "U", "z", "Z", "vu", "vz"))
    names = [b"arrow_schema", b"arrow_array", b"arrow_array_stream"]
    if random.random() < 0.1:
        random.shuffle(names)
    kept.append(names)
    stream = random.random() < 0.4

    def give() -> Any:
        if random.random() < 0.05:
            return random.choice((None, (), (1, 2), 7, ("a", "b", "c")))
        if stream:
            return _capsule(_stream(random, kept, layout), names[2], None)
        schema = _schema(random, layout)
        kept.append(schema)
        address = _array(random, kept, layout)[1]
        return (
            _capsule(ctypes.addressof(schema), names[0], None),
            _capsule(address, names[1], None),
        )

    survives(lambda: lookup.index_many(Given(give, stream, kept)))
