"""Keys that come in columns: of NumPy, of Arrow, and of whoever speaks their protocols."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from concordant.errors import UsageError
from concordant.placement import HashRing, Node
from tests.kernels import both, lookup_like

RING = HashRing([Node(f"node-{number}") for number in range(100)])
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


@pytest.mark.parametrize(
    "column",
    [pa.array([1.5]), pa.array(["a"]).dictionary_encode(), pa.array([[1]])],
    ids=["float", "dictionary", "list"],
)
def test_an_arrow_column_of_something_else_is_refused(column: Any) -> None:
    with pytest.raises(UsageError, match="cast them to strings"):
        lookup_like("c", RING).index_many(column)


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
