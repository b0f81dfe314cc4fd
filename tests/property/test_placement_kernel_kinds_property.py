"""The functions of a position in C against their twins in Python."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.placement import Node
from concordant.placement.functions.jump_lookup import JumpLookup
from concordant.placement.functions.memento import Buckets
from concordant.placement.functions.memento_lookup import KEPT, MementoLookup
from concordant.placement.functions.rendezvous_lookup import RendezvousLookup
from concordant.placement.hashing.mixing import mix
from concordant.placement.kernel import native
from tests.kernels import NODES
from tests.placement_oracle import MASK, key_at

positions = st.lists(
    st.one_of(st.integers(0, 9), st.integers(MASK - 9, MASK), st.integers(0, MASK)), max_size=80
)


def assert_alike(twin: Any, kernel: Any, tables: tuple[Any, ...], asked: list[int]) -> None:
    """Ask the look-up in Python and the one in C, one key at a time and all at once."""
    one, other = twin(), kernel()
    for each in (one, other):
        each._arm(*tables)
    keys = [key_at(position) for position in asked]
    expected = array("i", [one._index(position) for position in asked])
    assert one.index_many(keys) == other.index_many(keys) == expected
    assert one.node_many(keys) == other.node_many(keys) == [tables[-1][place] for place in expected]
    assert [other.node(key) for key in keys] == other.node_many(keys)


def turned_back(value: int) -> int:
    """Return what ``mix`` turns into this value."""

    def unshifted(value: int, bits: int) -> int:
        found = value
        for _ in range(64 // bits):
            found = value ^ found >> bits
        return found

    value = unshifted(value, 31) * pow(0x94D049BB133111EB, -1, 1 << 64) & MASK
    value = unshifted(value, 27) * pow(0xBF58476D1CE4E5B9, -1, 1 << 64) & MASK
    return unshifted(value, 30)


@given(st.integers(0, MASK))
def test_mixing_is_turned_back(value: int) -> None:
    assert mix(turned_back(value)) == value


numbers = st.one_of(
    st.integers(0, 3),
    st.integers(MASK - 3, MASK),
    st.builds(lambda bits, by: min(MASK, (1 << bits) + by), st.integers(0, 64), st.integers(0, 2)),
    st.integers(0, MASK),
)
weights = st.one_of(st.integers(1, 3), st.integers(1, 10**12))


# A compiler without numbers of 128 bits leaves it to Python.
RENDEZVOUS = getattr(native, "RendezvousLookup", RendezvousLookup)


@given(st.lists(st.tuples(numbers, weights), min_size=1, max_size=12), positions, st.booleans())
def test_the_best_score_is_the_same(
    scored: list[tuple[int, int]], asked: list[int], weighted: bool
) -> None:
    # So that the first position gives each node just that number, ties and ends included.
    first = asked[0] if asked else 0
    seeds = array("Q", [first ^ turned_back(number) for number, _ in scored])
    units = array("Q", [weight for _, weight in scored] if weighted else [])
    tables = seeds, units, NODES[: len(scored)]
    assert_alike(RendezvousLookup, RENDEZVOUS, tables, [first, *asked])
    twin, kernel = RendezvousLookup(), RENDEZVOUS()
    twin._arm(*tables)
    kernel._arm(*tables)
    for position in (first, *asked):
        for n in (0, 1, len(scored) // 2, len(scored)):
            assert kernel._best(position, n) == twin._best(position, n)


@given(st.integers(1, 2000), positions, st.randoms(use_true_random=False))
def test_a_position_jumps_to_the_same_bucket(buckets: int, asked: list[int], random: Any) -> None:
    index_of = list(range(buckets))
    random.shuffle(index_of)
    tables = array("i", index_of), NODES[:buckets]
    assert_alike(JumpLookup, native.JumpLookup, tables, asked)


@given(st.integers(1, 200), st.data(), positions)
def test_what_is_left_of_buckets_is_the_same(
    size: int, data: st.DataObject, asked: list[int]
) -> None:
    buckets = Buckets(tuple(node.id for node in NODES[:size]))
    for _ in range(data.draw(st.integers(0, size - 1))):
        left = [each for each in buckets.ids if each is not None]
        buckets = buckets.without(left[data.draw(st.integers(0, len(left) - 1))])
    there = {node.id: place for place, node in enumerate(NODES)}
    index_of = array("i", [KEPT if each is None else there[each] for each in buckets.ids])
    tables = buckets.replaced(), index_of, NODES
    assert_alike(MementoLookup, native.MementoLookup, tables, asked)


def refused(make: Callable[[], Any], tables: tuple[Any, ...]) -> None:
    lookup = make()
    with pytest.raises((ValueError, TypeError, BufferError)):
        lookup._arm(*tables)
    with pytest.raises(ValueError):
        lookup.node("a")
    with pytest.raises(ValueError):
        lookup.index_many(["a"])


def test_wrong_tables_are_refused_and_not_read() -> None:
    two = (Node("a"), Node("b"))
    for wrong in (array("i", [2]), array("i", [-1]), b"123", None):
        refused(native.JumpLookup, (wrong, two))
        refused(native.MementoLookup, (array("i", [-1]), wrong, two))
    places = array("i", [0, 1, 0])
    for replaced in ([0, -1, -1], [3, -1, -1], [2, 2, -1], [-2, -1, -1], [-1, -1]):
        refused(native.MementoLookup, (array("i", replaced), places, two))
    for seeds, units in (([1], []), ([1, 2], [1]), ([1, 2, 3], [])):
        if RENDEZVOUS is not RendezvousLookup:
            refused(RENDEZVOUS, (array("Q", seeds), array("Q", units), two))
