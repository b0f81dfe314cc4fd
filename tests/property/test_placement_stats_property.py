"""Laws of the figures, for any nodes and weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concordant.placement import HashRing, Node, Placement, Rendezvous, Slots
from tests.placement_oracle import SPACE, TIED_IDS

ids = st.sampled_from([*"abcdefgh", *TIED_IDS])
weights = st.sampled_from([0.001, 0.25, 1.0, 1.25, 2.0, 7.0])
node_dicts = st.dictionaries(ids, weights, min_size=1, max_size=7)

MAKE: dict[str, Callable[[Iterable[Node]], Placement]] = {
    "ring": lambda nodes: HashRing(nodes, 6),
    "slots": lambda nodes: Slots(nodes, 64),
    "rendezvous": Rendezvous,
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@given(node_dicts)
def test_shares_and_heirs_are_whole(
    make: Callable[[Iterable[Node]], Placement], node_weights: dict[str, float]
) -> None:
    stats = make([Node(*pair) for pair in node_weights.items()]).stats()
    assert sum(stats.shares.values()) == pytest.approx(1.0)
    assert sum(stats.fair_shares.values()) == pytest.approx(1.0)
    assert stats.max_load is not None
    assert stats.min_load is not None
    assert stats.min_load <= 1.0 + 1e-9
    assert stats.max_load >= 1.0 - 1e-9
    for leaver in node_weights:
        heirs = stats.heirs(leaver)
        assert leaver not in heirs
        assert not heirs or sum(heirs.values()) == pytest.approx(1.0)
    for figure in stats.leavers.max_load.values():
        assert figure >= 1.0 - 1e-9


@given(node_dicts)
def test_shares_of_a_ring_are_its_arcs(node_weights: dict[str, float]) -> None:
    ring = HashRing([Node(*pair) for pair in node_weights.items()], 6)
    for node_id, share in ring.stats().shares.items():
        size = sum(arc.end - arc.start for arc in ring.arcs() if arc.owner_id == node_id)
        assert share == size / SPACE


@settings(max_examples=50)
@pytest.mark.parametrize("name", ["ring", "slots"])
@given(node_weights=node_dicts)
def test_heirs_take_what_a_plan_moves(name: str, node_weights: dict[str, float]) -> None:
    placement = MAKE[name]([Node(*pair) for pair in node_weights.items()])
    stats = placement.stats()
    for leaver in node_weights:
        matrix = placement.plan(placement.with_nodes(remove=[leaver])).matrix
        for node_id, share in stats.heirs(leaver).items():
            moved = matrix.get((leaver, node_id), 0.0)
            assert share * stats.shares[leaver] == pytest.approx(moved, abs=1e-12)
