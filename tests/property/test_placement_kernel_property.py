"""The kernel in C against the one in Python, and both against the description of the format."""

from __future__ import annotations

import random
from array import array

import xxhash
from hypothesis import given
from hypothesis import strategies as st

from concordant.placement import HashRing, Node
from concordant.placement.hashing.xxh64 import xxh64_pure
from concordant.placement.kernel import native
from concordant.placement.tables.points import PointTable, Stretch
from tests.kernels import LOOKUPS, lookup_like, lookup_of
from tests.placement_oracle import MASK, key_at, naive_preference

ids = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
few_ids = ids.filter(lambda each: len(each.encode()) <= 255)
rings = st.lists(
    st.builds(Node, few_ids, st.floats(0.001, 3.0)), unique_by=lambda node: node.id, max_size=6
)
keys = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(max_size=100),
    st.integers(),
    st.binary(max_size=20).map(bytearray),
    st.binary(max_size=20).map(memoryview),
)
# So close together that buckets, ties and the wrap all are met.
near = st.one_of(st.integers(0, 9), st.integers(MASK - 9, MASK), st.integers(0, MASK))


def test_every_length_has_the_hash_of_the_specification() -> None:
    rng = random.Random(7)
    for length in [*range(300), 1023, 4096, 100_001]:
        data = rng.randbytes(length)
        assert native.xxh64(data) == xxhash.xxh64_intdigest(data)
        if length < 300:
            assert native.xxh64(data) == xxh64_pure(data)
        # Wherever in memory it begins.
        assert native.xxh64(memoryview(b"x" + data)[1:]) == xxhash.xxh64_intdigest(data)


@given(st.binary(max_size=2000))
def test_any_bytes_have_that_hash(data: bytes) -> None:
    assert native.xxh64(data) == xxh64_pure(data) == xxhash.xxh64_intdigest(data)


@given(rings, st.integers(1, 40), st.lists(keys, max_size=20))
def test_the_two_give_the_same_answers(nodes: list[Node], points: int, asked: list) -> None:
    ring = HashRing(nodes, points)
    one, other = (lookup_like(kernel, ring) for kernel in LOOKUPS)
    if not nodes:
        asked = []
    assert [one.node(key) for key in asked] == [other.node(key) for key in asked]
    assert one.index_many(asked) == other.index_many(asked)
    assert one.node_many(asked) == other.node_many(asked) == [one.node(key) for key in asked]
    for n in range(len(nodes) + 1):
        assert [one.nodes(key, n) for key in asked] == [other.nodes(key, n=n) for key in asked]


@given(st.lists(st.tuples(near, st.integers(0, 2)), min_size=1, max_size=60), st.lists(near))
def test_points_anywhere_are_found_by_both(points: list[tuple[int, int]], asked: list[int]) -> None:
    nodes = [Node(each) for each in "bca"]
    ordered = sorted(set(points), key=lambda point: (point[0], nodes[point[1]].id))
    plain = [(position, nodes[slot].id) for position, slot in ordered]
    for kernel in LOOKUPS:
        lookup = lookup_of(kernel, [p for p, _ in ordered], [s for _, s in ordered], nodes)
        positions = [*asked, *(position for position, _ in ordered)]
        for position in positions:
            preferred = naive_preference(plain, position)
            key = key_at(position)
            assert lookup.node(key).id == preferred[0]
            assert [node.id for node in lookup.nodes(key, len(preferred))] == preferred
        owners = lookup.node_many([key_at(position) for position in positions])
        assert [node.id for node in owners] == [naive_preference(plain, p)[0] for p in positions]


stretches = st.builds(
    lambda node_id, start, size: (node_id, start, start + size),
    few_ids,
    st.integers(0, 3),
    st.integers(0, 30),
)


@given(st.lists(stretches, unique_by=lambda each: each[0], max_size=6), st.data())
def test_tables_are_edited_alike(drawn: list[tuple[str, int, int]], data: st.DataObject) -> None:
    there = [Stretch(node_id, slot, *rest) for slot, (node_id, *rest) in enumerate(drawn)]
    id_of = {each.slot: each.node_id for each in there}
    table = PointTable().including([point for each in there for point in each.points()], id_of)
    leaving = [each for each in there if data.draw(st.booleans())]
    coming = [
        Stretch(each.node_id, each.slot, each.stop, each.stop + data.draw(st.integers(1, 9)))
        for each in there
        if each not in leaving and data.draw(st.booleans())
    ]
    # A newcomer may get the slot of one that leaves.
    newcomer = data.draw(few_ids.filter(lambda each: each not in id_of.values()))
    left = {
        slot: node_id for slot, node_id in id_of.items() if slot not in {e.slot for e in leaving}
    }
    slot = next(number for number in range(9) if number not in left)
    left[slot] = newcomer
    coming.append(Stretch(newcomer, slot, 0, 20))
    expected = table.without(point for each in leaving for point in each.points()).including(
        [point for each in coming for point in each.points()], left
    )
    ranks = array("I", bytes(4 * 9))
    for rank, each in enumerate(sorted(left, key=left.__getitem__)):
        ranks[each] = rank
    found = native.rearranged(
        table.positions,
        table.owners,
        leaving,
        coming,
        ranks,
    )
    assert found == (expected.positions, expected.owners)
