"""Maglev tables by example."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import Maglev, Node
from concordant.placement.tables.maglev import MAX_SIZE

TEN = [Node(f"node-{number}") for number in range(10)]


def entries(placement: Maglev) -> Counter[str]:
    """Return how many entries each node has."""
    nodes = list(placement)
    return Counter(nodes[place].id for place in placement._table.owners)


@pytest.mark.parametrize("size", [0, 1, 4, 9, 65536, 1 << 20, MAX_SIZE + 1, True, 7.0, "7", None])
def test_a_size_that_is_no_prime_is_refused(size: Any) -> None:
    with pytest.raises(UsageError, match="size of a Maglev table"):
        Maglev([], size)


def test_more_nodes_than_entries_are_refused() -> None:
    assert set(entries(Maglev(TEN[:7], 7)).values()) == {1}
    with pytest.raises(UsageError, match="cannot share a Maglev table of 7"):
        Maglev(TEN[:8], 7)
    with pytest.raises(UsageError, match="larger prime"):
        Maglev(TEN[:7], 7).with_nodes(add=[Node("x")])


@pytest.mark.parametrize("count", [1, 3, 10])
def test_equal_nodes_have_shares_within_one_entry(count: int) -> None:
    loads = entries(Maglev(TEN[:count], 1009))
    assert len(loads) == count
    assert max(loads.values()) - min(loads.values()) <= 1


def test_shares_are_close_to_the_weights_and_nobody_vanishes() -> None:
    weights = {"a": 4.0, "b": 2.0, "c": 1.0, "light": 0.001, "lighter": 0.000001}
    loads = entries(Maglev([Node(*pair) for pair in weights.items()], 7001))
    assert (loads["light"], loads["lighter"]) == (1, 1)
    for node_id in "abc":
        assert loads[node_id] == pytest.approx(7000 * weights[node_id] / 7, abs=4)
    with pytest.raises(UsageError, match="scale all weights down"):
        Maglev([Node("a", 1_000_001)], 7)


def test_a_change_moves_few_keys_more_than_it_must() -> None:
    old = Maglev(TEN, 4099)
    for new in (old.with_nodes(add=[Node("new")]), old.with_nodes(remove=["node-4"])):
        plan = old.plan(new)
        assert 0.08 < plan.minimum_share <= plan.moved_share < plan.minimum_share + 0.12


def test_the_size_is_that_of_the_text() -> None:
    placement = Maglev(TEN, 13)
    assert Maglev.from_json(placement.to_json()).size == placement.with_nodes().size == 13
