"""Plans are exact: at every edge of every range, and for any keys."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from concordant.placement import HashRing, Node
from concordant.placement.stats import shares
from tests.placement_oracle import SPACE, TIED_IDS, key_at

ids = st.sampled_from([*"abcdef", *TIED_IDS])
weights = st.sampled_from([1e-9, 0.5, 1.0, 3.0])
node_dicts = st.dictionaries(ids, weights, max_size=6)
keys = st.one_of(st.text(), st.binary(), st.integers())


@st.composite
def rings(draw: st.DrawFn) -> HashRing:
    points = draw(st.integers(1, 8))
    return HashRing([Node(*pair) for pair in draw(node_dicts).items()], points)


def owner_of(ring: HashRing, key: str | bytes | int) -> str | None:
    return ring.node(key).id if len(ring) else None


@given(rings(), rings(), st.lists(keys))
def test_moves_equal_brute_force(
    old: HashRing, new: HashRing, sample: list[str | bytes | int]
) -> None:
    pairs = [(key, owner_of(old, key), owner_of(new, key)) for key in sample]
    assert old.plan(new).moves(sample) == [pair for pair in pairs if pair[1] != pair[2]]


@given(rings(), rings())
def test_ranges_are_exact_at_every_edge(old: HashRing, new: HashRing) -> None:
    plan = old.plan(new)
    for start, end, from_id, to_id in plan.ranges:
        assert 0 <= start < end <= SPACE
        for position in (start, end - 1):
            assert owner_of(old, key_at(position)) == from_id
            assert owner_of(new, key_at(position)) == to_id
            assert plan.moves([key_at(position)]) == [(key_at(position), from_id, to_id)]
        # The space wraps, but a range is not joined over its end with one at its start.
        for position in filter(lambda position: 0 <= position < SPACE, (start - 1, end)):
            key = key_at(position)
            owners = owner_of(old, key), owner_of(new, key)
            assert owners != (from_id, to_id)
            assert plan.moves([key]) == ([(key, *owners)] if owners[0] != owners[1] else [])


@given(rings(), rings())
def test_ranges_ascend_and_hold_moves_only(old: HashRing, new: HashRing) -> None:
    ranges = old.plan(new).ranges
    assert all(moved.from_id != moved.to_id for moved in ranges)
    assert all(one.end <= two.start for one, two in pairwise(ranges))


@given(rings(), rings())
def test_the_matrix_balances_the_shares(old: HashRing, new: HashRing) -> None:
    plan = old.plan(new)
    before, after = shares(old), shares(new)
    for node_id in before.keys() | after.keys():
        arrives = sum(share for flow, share in plan.matrix.items() if flow[1] == node_id)
        leaves = sum(share for flow, share in plan.matrix.items() if flow[0] == node_id)
        change = after.get(node_id, 0.0) - before.get(node_id, 0.0)
        assert abs(arrives - leaves - change) < 1e-9
    assert abs(sum(plan.matrix.values()) - plan.moved_share) < 1e-9


@given(rings(), rings())
def test_the_way_back_is_the_mirror(old: HashRing, new: HashRing) -> None:
    there, back = old.plan(new), new.plan(old)
    assert [moved[:2] for moved in there.ranges] == [moved[:2] for moved in back.ranges]
    assert {(to_id, from_id): share for (from_id, to_id), share in there.matrix.items()} == (
        back.matrix
    )
    assert abs(there.minimum_share - back.minimum_share) < 1e-9
