"""What both kernels take and refuse, and what the one in C must not do."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import tracemalloc
import weakref
from array import array
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from concordant.errors import UsageError
from concordant.placement import HashRing, Node
from concordant.placement.kernel import native
from tests.kernels import both, lookup_like, lookup_of

RING = HashRing([Node(f"node-{number}", weight=1 + number % 3) for number in range(50)])
KEYS = [
    "",
    "a",
    "user:42",
    "grüße",
    "日本",
    "\U0001f600",
    b"raw",
    bytearray(b"x"),
    7,
    -7,
    "x" * 300,
]


class Text(str):
    """A key of a kind of its own."""


@both
def test_each_key_is_placed_by_its_bytes(kernel: str) -> None:
    lookup = lookup_like(kernel, RING)
    for same in (
        ("42", b"42", 42, bytearray(b"42"), memoryview(b"42"), Text("42")),
        ("ü", b"\xc3\xbc"),
    ):
        assert len({lookup.node(key).id for key in same}) == 1
        assert len(set(lookup.index_many(list(same)))) == 1


@both
@pytest.mark.parametrize("key", [None, True, 1.5, ("a",), object(), "\ud800", Text("\ud800")])
def test_what_is_no_key_is_refused(kernel: str, key: Any) -> None:
    lookup = lookup_like(kernel, RING)
    for ask in (
        lambda: lookup.node(key),
        lambda: lookup.nodes(key, 2),
        lambda: lookup.index_many(["a", key]),
    ):
        with pytest.raises(UsageError):
            ask()


@both
@pytest.mark.parametrize("n", [-1, 51, True, None, 1.0, "2", 2**70])
def test_a_wrong_number_of_nodes_is_refused(kernel: str, n: Any) -> None:
    with pytest.raises(UsageError, match="an integer from 0 to 50"):
        lookup_like(kernel, RING).nodes("a", n)


@both
def test_arguments_are_those_of_python(kernel: str) -> None:
    lookup = lookup_like(kernel, RING)
    assert lookup.nodes("a", 3) == lookup.nodes("a", n=3) == lookup.nodes(key="a", n=3)
    for wrong in ({}, {"n": 1, "m": 2}):
        with pytest.raises(TypeError):
            lookup.nodes("a", **wrong)
    with pytest.raises(TypeError):
        lookup.nodes("a", 1, 2)
    with pytest.raises(TypeError):
        lookup.nodes("a", 1, n=2)


@both
def test_an_empty_ring_places_nothing(kernel: str) -> None:
    lookup = lookup_of(kernel, [], [], [])
    assert lookup.nodes("a", 0) == []
    assert list(lookup.index_many([])) == lookup.node_many([]) == []
    for ask in (
        lookup.node,
        lambda key: lookup.index_many([key]),
        lambda key: lookup.node_many([key]),
    ):
        with pytest.raises(UsageError, match="add a node first"):
            ask("a")


@both
def test_many_keys_come_in_any_iterable(kernel: str) -> None:
    lookup = lookup_like(kernel, RING)
    expected = array("i", [list(RING).index(lookup.node(key)) for key in KEYS])
    for keys in (
        KEYS,
        tuple(KEYS),
        iter(KEYS),
        (key for key in KEYS),
        dict.fromkeys(map(str, KEYS)),
    ):
        found = lookup.index_many(keys)
        assert (found.typecode, len(found)) == ("i", len(KEYS))
        if not isinstance(keys, dict):
            assert found == expected
    assert lookup.node_many(KEYS) == [lookup.node(key) for key in KEYS]
    numbers = array("q", [1, -2, 3])
    assert lookup.index_many(numbers) == lookup.index_many([1, -2, 3])


@both
@pytest.mark.parametrize("keys", ["abc", b"abc", bytearray(b"abc")])
def test_one_key_is_not_many(kernel: str, keys: Any) -> None:
    with pytest.raises(UsageError, match="pass a list"):
        lookup_like(kernel, RING).index_many(keys)


def test_a_key_that_changes_the_list_is_told() -> None:
    keys: list[Any] = []

    class Meddler(bytearray):
        def __bytes__(self) -> bytes:
            keys.clear()
            return b"x"

    keys += ["a", Meddler(b"x"), *("b" * 10)]
    with pytest.raises(UsageError, match="changed"):
        lookup_like("c", RING).index_many(keys)


def test_a_wrong_table_is_refused_and_not_read() -> None:
    node = Node("a")
    good = (array("Q", [1, 2]), array("I", [0, 0]), array("i", [0]), (node,))
    native.Lookup()._arm(*good)
    for place, wrong in (
        (0, array("Q", [1])),
        (0, array("Q", [2, 1])),
        (0, b"123"),
        (1, array("I", [0, 1])),
        (2, array("i")),
        (2, array("i", [-1])),
        (2, array("i", [1])),
        (3, ()),
    ):
        tables: list[Any] = list(good)
        tables[place] = wrong
        lookup = native.Lookup()
        with pytest.raises((ValueError, BufferError)):
            lookup._arm(*tables)
        for ask in (lookup.node, lambda key, lookup=lookup: lookup.nodes(key, 1)):
            with pytest.raises(UsageError):
                ask("a")
        with pytest.raises(RuntimeError, match="once"):
            lookup._arm(*good)
    empty = native.Lookup()
    with pytest.raises(UsageError):
        empty.node("a")
    assert empty.nodes("a", 0) == []


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("ends", [[0, 3, 1], [2, 1, 3]])
def test_arrow_offsets_that_do_not_ascend_are_refused(ends: list[int], wide: bool) -> None:
    given = pa.py_buffer(array("q" if wide else "i", ends))
    kind = pa.LargeStringArray if wide else pa.StringArray
    column = kind.from_buffers(2, given, pa.py_buffer(b"text"))
    with pytest.raises(UsageError, match="do not ascend"):
        lookup_like("c", RING).index_many(column)


def test_points_that_cannot_be_are_refused() -> None:
    points = (array("Q", [1]), array("I", [0]))
    ranks = array("I", [0])
    for leaving, coming in (
        ([("a", 0, 0, 1)], []),
        ([("a", 0, 0, 9)], []),
        ([], [("a", 1, 0, 1)]),
        ([], [("a" * 300, 0, 0, 1)]),
        ([], [("a", 0, -1, 1)]),
    ):
        with pytest.raises(ValueError):
            native.rearranged(*points, leaving, coming, ranks)
    with pytest.raises(ValueError):
        native.rearranged(points[0], array("I", [3]), [], [], ranks)
    # Where no number of four bytes can be.
    beside = memoryview(bytearray(5))[1:]
    with pytest.raises(ValueError):
        native.rearranged(points[0], beside, [], [], ranks)
    with pytest.raises(TypeError):
        native.rearranged(*points, [(None, 0, 0, 1)], [], ranks)


def test_nothing_leaks() -> None:
    ring = RING.with_nodes(add=[Node("new")])
    # Of its own, since Python shares the short ones.
    keys = [f"key:{number}" for number in range(9)] + [b"key:%d" % number for number in range(9)]

    def work() -> None:
        changed = ring.with_nodes(remove=["new"])
        for lookup in (ring, changed):
            lookup.index_many([*keys, *KEYS])
            lookup.node_many(keys)
            lookup.nodes("ü", 40)
            for wrong in (None, "\ud800"):
                with pytest.raises(UsageError):
                    lookup.index_many(["ü", wrong])
        with pytest.raises(UsageError):
            ring.nodes("a", 99)

    for _ in range(5):
        work()
    counts = [sys.getrefcount(each) for each in (*keys, *ring)]
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            work()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()
    assert [sys.getrefcount(each) for each in (*keys, *ring)] == counts


def test_a_ring_dies_with_its_last_reference_even_in_a_cycle() -> None:
    class Held(HashRing):
        pass

    ring = Held([Node("a")])
    ring.itself = ring  # type: ignore[attr-defined]
    seen = weakref.ref(ring)
    del ring
    gc.collect()
    assert seen() is None


def test_the_kernel_travels_by_its_nodes() -> None:
    again = pickle.loads(pickle.dumps(RING))
    assert again.index_many(KEYS) == RING.index_many(KEYS)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_without_the_kernel_the_same_tests_pass() -> None:
    root = Path(__file__).parents[2]
    files = [
        str(path)
        for path in sorted(
            [
                *(root / "tests/unit").glob("test_placement_*.py"),
                *(root / "tests/property").glob("test_placement_*.py"),
            ]
        )
        if "kernel" not in path.name and "columns" not in path.name
    ]
    environment = {**os.environ, "CONCORDANT_KERNEL": "python"}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-n",
            "0",
            "-m",
            "not slow",
            *files,
        ],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=590,
    )
    assert done.returncode == 0, done.stdout[-3000:]
