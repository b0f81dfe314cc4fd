"""Plans by example."""

from __future__ import annotations

import json
import pickle

import pytest

from concordant.errors import UsageError
from concordant.placement import HashRing, Node
from tests.placement_oracle import SPACE

THREE = HashRing([Node("a"), Node("b"), Node("c")])
FOUR = THREE.with_nodes(add=[Node("d")])
KEYS = [f"account-{number}" for number in range(3000)]


def test_moves_are_the_keys_whose_owner_differs() -> None:
    expected = [
        (key, THREE.node(key).id, FOUR.node(key).id)
        for key in KEYS
        if THREE.node(key) != FOUR.node(key)
    ]
    assert THREE.plan(FOUR).moves(KEYS) == expected
    assert 600 < len(expected) < 900


def test_moves_gives_keys_back_as_they_came() -> None:
    plan = HashRing([Node("a")]).plan(HashRing([Node("b")]))
    keys: list[str | bytes | int] = ["k", b"k", 7]
    assert plan.moves(keys) == [(key, "a", "b") for key in keys]
    with pytest.raises(UsageError):
        plan.moves([1.5])  # type: ignore[list-item]


def test_shares_and_fingerprints() -> None:
    plan = THREE.plan(FOUR)
    assert (plan.old_fingerprint, plan.new_fingerprint) == (
        THREE.fingerprint(),
        FOUR.fingerprint(),
    )
    assert plan.minimum_share == pytest.approx(0.25)
    assert plan.moved_share == pytest.approx(0.25, abs=0.03)
    assert list(plan.matrix) == [("a", "d"), ("b", "d"), ("c", "d")]
    assert sum(plan.matrix.values()) == pytest.approx(plan.moved_share)


def test_the_minimum_follows_the_weights() -> None:
    old = HashRing([Node("a", 1.0), Node("b", 3.0)])
    assert old.plan(old.with_nodes(reweight={"a": 3.0})).minimum_share == pytest.approx(0.25)
    assert old.plan(old.with_nodes(remove=["b"])).minimum_share == pytest.approx(0.75)
    swapped = HashRing([Node("a", 3.0), Node("b", 1.0)])
    assert old.plan(swapped).minimum_share == pytest.approx(0.5)


def test_nothing_moves_between_equal_rings() -> None:
    plan = THREE.plan(HashRing([Node("c", zone="z"), Node("b"), Node("a")], epoch=5))
    assert (plan.ranges, plan.moved_share, plan.minimum_share, plan.matrix) == ((), 0, 0, {})
    assert plan.moves(KEYS) == []


def test_from_and_to_an_empty_ring_everything_moves_in_one_range_or_by_owner() -> None:
    empty, one = HashRing(), HashRing([Node("a")])
    filling, emptying = empty.plan(one), one.plan(empty)
    assert filling.ranges == ((0, SPACE, None, "a"),)
    assert emptying.matrix == {("a", None): 1.0}
    assert filling.minimum_share == emptying.minimum_share == 1.0
    assert empty.plan(HashRing(epoch=1)).minimum_share == 0.0
    assert filling.moves(["k"]) == [("k", None, "a")]


def test_a_third_node_of_other_weight_moves_nothing_between_the_old_two() -> None:
    old = HashRing([Node("a", 3.0), Node("b", 1.0)])
    plan = old.plan(old.with_nodes(add=[Node("c", 1.0)]))
    assert set(plan.matrix) == {("a", "c"), ("b", "c")}


def test_rings_of_other_density_can_be_compared() -> None:
    plan = THREE.plan(HashRing(THREE, points=320))
    assert 0.0 < plan.moved_share < 0.7
    assert plan.minimum_share == 0.0


def test_json_holds_the_positions_exactly() -> None:
    plan = THREE.plan(FOUR)
    read = json.loads(plan.to_json())
    assert read["moved_share"] == plan.moved_share
    assert read["minimum_share"] == plan.minimum_share
    assert (read["old_fingerprint"], read["new_fingerprint"]) == (
        plan.old_fingerprint,
        plan.new_fingerprint,
    )
    assert {(flow["from"], flow["to"]): flow["share"] for flow in read["matrix"]} == plan.matrix
    ranges = tuple(
        (int(moved["start"]), int(moved["end"]), moved["from"], moved["to"])
        for moved in read["ranges"]
    )
    assert ranges == plan.ranges


def test_plans_are_values() -> None:
    plan = THREE.plan(FOUR)
    assert pickle.loads(pickle.dumps(plan)) == plan == THREE.plan(FOUR)
    assert plan != FOUR.plan(THREE)
    assert len(repr(plan)) < 200
    assert plan.new_fingerprint in repr(plan)
