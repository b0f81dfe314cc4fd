"""Keys that come in columns: of NumPy, of Arrow, and of whoever speaks their protocols."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from concordant.errors import UsageError
from concordant.placement import HashRing, ModuloRing, Node
from tests.kernels import LOOKUPS, both, lookup_like, lookup_of

RING = HashRing([Node(f"node-{number}") for number in range(100)])
MODULO = ModuloRing(RING, p=10_000)
OTHER = RING.with_nodes(remove=["node-7"])
# Whoever takes many keys: the two kernels, what has no kernel in C, and the plans.
TAKERS: dict[str, Callable[[Any], Any]] = {
    **{kernel: lookup_like(kernel, RING).index_many for kernel in LOOKUPS},
    **{f"{kernel}, nodes": lookup_like(kernel, RING).node_many for kernel in LOOKUPS},
    **{f"{kernel}, empty": lookup_of(kernel, [], [], []).index_many for kernel in LOOKUPS},
    "modulo": MODULO.index_many,
    "plan": RING.plan(OTHER).moves,
    "asked plan": RING.plan(MODULO).moves,
}
every_taker = pytest.mark.parametrize("taker", list(TAKERS))
every_placer = pytest.mark.parametrize(
    "taker", [name for name in TAKERS if "empty" not in name and "plan" not in name]
)
TEXT = [
    "",
    "a",
    "user:42",
    "grüße",
    "日本",
    "\U0001f600",
    "twelve bytes",
    "thirteen bytes",
    "x" * 300,
]


@both
@pytest.mark.parametrize(
    "column",
    [
        pa.array(TEXT, pa.string()),
        pa.array(TEXT, pa.large_string()),
        pa.array(TEXT, pa.string_view()),
        pa.array([each.encode() for each in TEXT], pa.binary()),
        pa.array([each.encode() for each in TEXT], pa.large_binary()),
        pa.array([each.encode() for each in TEXT], pa.binary_view()),
        pa.array(["before", *TEXT, "after"])[1:-1],
        pa.chunked_array([TEXT[:3], [], TEXT[3:]], pa.string()),
        pa.chunked_array([pa.array(["before", *TEXT[:5]])[1:], pa.array(TEXT[5:])]),
        np.array(TEXT),
        np.array(TEXT, object),
        np.array([each.encode() for each in TEXT]),
        np.array(["-", *TEXT, "-"])[1:-1],
        np.array([each for key in TEXT for each in (key, "between")])[::2],
        np.array(TEXT).astype(np.array(TEXT).dtype.newbyteorder()),
    ],
    ids=lambda column: str(getattr(column, "type", getattr(column, "dtype", ""))),
)
def test_a_column_of_text(kernel: str, column: Any) -> None:
    lookup = lookup_like(kernel, RING)
    assert lookup.index_many(column) == lookup.index_many(TEXT)
    assert lookup.node_many(column) == lookup.node_many(TEXT)


@both
@pytest.mark.parametrize(
    "empty",
    [
        pa.array([], pa.string()),
        pa.chunked_array([], pa.string()),
        np.array([], "U3"),
        np.array([], "S3"),
    ],
    ids=["arrow", "chunks", "text", "bytes"],
)
def test_an_empty_column(kernel: str, empty: Any) -> None:
    assert list(lookup_like(kernel, RING).index_many(empty)) == []


@both
def test_numbers_are_placed_as_python_numbers(kernel: str) -> None:
    lookup = lookup_like(kernel, RING)
    assert lookup.index_many(np.arange(-5, 100)) == lookup.index_many(list(range(-5, 100)))


@both
@pytest.mark.parametrize(
    "column",
    [pa.array(["a", None]), pa.array([None, "b"])[1:], pa.chunked_array([["a"], ["b", None]])],
    ids=["null", "sliced", "chunks"],
)
def test_a_null_is_no_key(kernel: str, column: Any) -> None:
    lookup = lookup_like(kernel, RING)
    nulls = [place for place, each in enumerate(column.to_pylist()) if each is None]
    if not nulls:
        assert lookup.index_many(column) == lookup.index_many(["b"])
        return
    with pytest.raises(UsageError, match=f"key number {nulls[0]} is null"):
        lookup.index_many(column)


@every_placer
@pytest.mark.parametrize(
    "column",
    [
        np.ma.array(["a", "b"], mask=[0, 1]),
        np.ma.array([b"a", b"b"], mask=[0, 1]),
        np.ma.array([1, 2], mask=[0, 1]),
        np.ma.array(["a", "b"], object, mask=[0, 1]),
        pa.array([1, None]),
        pa.array(["a", None]).dictionary_encode(),
        pa.array([b"a", None], pa.binary(1)),
        pa.chunked_array([[1], [None]]),
        pa.chunked_array([["a"], [None]]),
        np.array(["a", None]),
        ["a", None],
        iter(["a", None]),
    ],
    ids=lambda column: f"{type(column).__name__} {getattr(column, 'dtype', '')}",
)
def test_what_is_masked_or_null_is_no_key(taker: str, column: Any) -> None:
    # An iterator is at its end after the first who takes it.
    given = column if hasattr(column, "__len__") else iter(["a", None])
    with pytest.raises(UsageError, match=r"^key number 1 is null; leave the nulls out$"):
        TAKERS[taker](given)


@every_placer
def test_what_a_mask_shows_is_placed(taker: str) -> None:
    place = TAKERS[taker]
    assert place(np.ma.array(TEXT)) == place(TEXT)
    assert place(np.ma.array(["a", "b"], mask=[0, 0])) == place(["a", "b"])
    assert place(np.ma.array(["a", "b"], mask=[0, 1]).compressed()) == place(["a"])


@every_taker
@pytest.mark.parametrize(
    "one",
    [
        np.array("user:1"),
        np.array(b"user:1"),
        np.array("user:1", object),
        np.array(7),
        np.ma.array("user:1"),
        np.int64(7),
        np.str_("user:1"),
        "user:1",
        memoryview(b"user:1"),
    ],
    ids=lambda one: f"{type(one).__name__} {getattr(one, 'dtype', '')}",
)
def test_an_array_without_dimensions_is_one_key(taker: str, one: Any) -> None:
    name = type(one).__name__
    with pytest.raises(UsageError, match=f"^{name} is one key; pass a list of keys$"):
        TAKERS[taker](one)


@every_taker
@pytest.mark.parametrize("given", [b"ab", bytearray(b"ab"), ("a", "b"), 7, None])
def test_a_conversion_that_gives_no_list_is_one_key(taker: str, given: Any) -> None:
    class Column:
        """What has a conversion, and could be iterated over too."""

        def to_list(self) -> Any:
            return given

        def __iter__(self) -> Any:
            return iter(["a", "b"])

    with pytest.raises(UsageError, match=r"^Column is one key; pass a list of keys$"):
        TAKERS[taker](Column())


@every_placer
@pytest.mark.parametrize(
    ("column", "keys"),
    [
        (pa.array([-5, 0, 2**60]), [-5, 0, 2**60]),
        (pa.array([7, 8], pa.uint8())[1:], [8]),
        (pa.chunked_array([[1], [], [2, 3]]), [1, 2, 3]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.chunked_array([["a"], ["b", "a"]]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([b"ab", b"c\0"], pa.binary(2)), [b"ab", b"c\0"]),
        (pa.array([], pa.int64()), []),
        (pa.array([], pa.null()), []),
        (array("q", [1, -2]), [1, -2]),
    ],
    ids=lambda given: str(getattr(given, "type", "")),
)
def test_a_column_of_another_type_is_placed_as_its_objects(
    taker: str, column: Any, keys: list[Any]
) -> None:
    place = TAKERS[taker]
    assert place(column) == place(keys)


@every_placer
@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([1.5]), "float"),
        (pa.array([True]), "bool"),
        (pa.array([[1]]), "list"),
        (pa.table({"k": ["a"]}), "dict"),
        (np.array([1.5]), "float"),
        (np.array([["a"]]), "list"),
        ([np.array([1, 2])], "ndarray"),
    ],
    ids=["float", "bool", "list", "table", "numpy float", "matrix", "list of arrays"],
)
def test_a_column_of_what_is_no_key_is_refused(taker: str, column: Any, kind: str) -> None:
    with pytest.raises(UsageError, match=f"^a key of type {kind} cannot be placed"):
        TAKERS[taker](column)


@pytest.mark.parametrize("export", ["__arrow_c_array__", "__arrow_c_stream__"])
def test_arrow_that_gives_no_objects_is_refused_by_its_type(export: str) -> None:
    class Column:
        """What gives numbers to those who read Arrow, and to nobody else."""

    given = pa.array([1]) if "array" in export else pa.chunked_array([[1]])
    column = Column()
    setattr(column, export, getattr(given, export))
    with pytest.raises(UsageError, match="type l cannot be placed; cast them to strings"):
        lookup_like("c", RING).index_many(column)


@every_taker
@pytest.mark.parametrize("keys", [5, None, 1.5, object(), pa.scalar("a")])
def test_what_is_no_iterable_is_refused(taker: str, keys: Any) -> None:
    message = (
        "^keys must be a list, an array, a column or another iterable of keys, "
        f"not {type(keys).__name__}$"
    )
    with pytest.raises(UsageError, match=message):
        TAKERS[taker](keys)


@both
def test_an_empty_ring_takes_empty_columns_only(kernel: str) -> None:
    lookup = lookup_of(kernel, [], [], [])
    for empty in (
        pa.array([], pa.string()),
        pa.array([], pa.string_view()),
        pa.array([], pa.int64()),
        pa.chunked_array([], pa.string()),
        pa.chunked_array([[], []], pa.string()),
        np.array([], "U3"),
        np.array([], "S3"),
        np.array([]),
        iter(()),
    ):
        assert list(lookup.index_many(empty)) == []
    for column in (
        pa.array(["a"]),
        pa.array(["a"], pa.string_view()),
        pa.array([1]),
        np.array(["a"]),
        np.array([b"a"]),
        np.array([1]),
        iter(["a"]),
    ):
        with pytest.raises(UsageError, match="add a node first"):
            lookup.index_many(column)


@both
def test_text_that_is_no_unicode_is_refused(kernel: str) -> None:
    with pytest.raises(UsageError, match="not valid Unicode"):
        lookup_like(kernel, RING).index_many(np.array(["a", "\ud800"]))


def test_a_stream_that_breaks_is_told() -> None:
    def batches() -> Any:
        yield pa.record_batch([pa.array(["a"])], ["k"])
        raise OSError("gone")

    class Column:
        """What gives a stream of strings that ends badly."""

        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            schema = pa.schema([("k", pa.string())])
            return pa.RecordBatchReader.from_batches(schema, batches()).__arrow_c_stream__()

    with pytest.raises((UsageError, OSError)):
        lookup_like("c", RING).index_many(Column())


@both
def test_a_large_column_is_the_same_in_blocks(kernel: str) -> None:
    keys = [f"user:{number}" for number in range(5000)]
    lookup = lookup_like(kernel, RING)
    expected = [list(RING).index(RING.node(key)) for key in keys]
    for column in (keys, pa.array(keys), np.array(keys), np.array(keys, "S")):
        assert list(lookup.index_many(column)) == expected
