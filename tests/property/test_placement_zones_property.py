"""Replicas over zones: rounds of a naive greedy choice, read no further than needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.errors import UsageError
from concordant.placement import HashRing, Node
from concordant.placement.choosing import chosen
from tests.placement_kinds import ids_of, taken_in_rounds

zones = st.sampled_from(["x", "y", "z", None])
preferences = st.lists(zones, max_size=9).map(
    lambda drawn: [Node(f"n{place}", zone=zone) for place, zone in enumerate(drawn)]
)


@given(preferences, st.sets(st.integers(0, 10)), st.data())
def test_the_choice_is_the_naive_one(
    preference: list[Node], down: set[int], data: st.DataObject
) -> None:
    excluded = {f"n{place}" for place in down}
    left = [node for node in preference if node.id not in excluded]
    n = data.draw(st.integers(0, len(left)))
    members = data.draw(st.permutations(preference))
    assert ids_of(
        chosen(iter(preference), {node.id: node for node in members}, n, None, excluded)
    ) == ids_of(left[:n])
    spread = chosen(iter(preference), {node.id: node for node in members}, n, "zone", excluded)
    assert ids_of(spread) == taken_in_rounds(left, n)


@given(preferences, st.data())
def test_zones_have_as_even_shares_as_their_nodes_allow(
    preference: list[Node], data: st.DataObject
) -> None:
    n = data.draw(st.integers(0, len(preference)))
    sizes = Counter(node.zone for node in preference)
    found = Counter(
        node.zone
        for node in chosen(preference, {node.id: node for node in preference}, n, "zone", ())
    )
    # No zone that could give one more has two less than another.
    for zone, size in sizes.items():
        assert found[zone] == size or found[zone] >= max(found.values(), default=0) - 1
    assert len(+found) == min(n, len(sizes))


def counted(preference: list[Node], read: list[Node]) -> Iterator[Node]:
    for node in preference:
        read.append(node)
        yield node


@given(preferences, st.sampled_from([None, "zone"]), st.data())
def test_lists_are_read_no_further_than_needed(
    preference: list[Node], spread: str | None, data: st.DataObject
) -> None:
    n = data.draw(st.integers(0, len(preference)))
    read: list[Node] = []
    found = chosen(counted(preference, read), {node.id: node for node in preference}, n, spread, ())
    last = max((preference.index(node) for node in found), default=-1)
    sizes = Counter(node.zone for node in preference)
    # Of a later round the last zone to have part in it must have shown its node first.
    if spread is None or n <= len(sizes):
        assert len(read) == last + 1


def test_a_zone_of_many_nodes_takes_neither_long_nor_a_deep_stack() -> None:
    nodes = [Node(f"n{number}", zone="z") for number in range(30_000)]
    assert chosen(iter(nodes), {node.id: node for node in nodes}, len(nodes), "zone", ()) == nodes


@pytest.mark.parametrize("n", [-1, 3, True, 1.0])
def test_more_than_are_up_cannot_be_chosen(n: int) -> None:
    ring = HashRing([Node("a", zone="x"), Node("b", zone="y"), Node("c")])
    with pytest.raises(UsageError, match="0 to 2"):
        ring.nodes("k", n, spread="zone", exclude=["b"])
