"""Memento by example, and the balance that it keeps whoever has left."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import Memento, Node
from concordant.placement.functions.memento_lookup import jump_back
from concordant.placement.hashing.mixing import mix

POSITIONS = [mix(number) for number in range(3000)]
SIX = [Node(f"n{number}") for number in range(6)]


def chi_square(counts: list[int]) -> float:
    """Return by how many standard deviations counts are less even than chance makes them."""
    mean = sum(counts) / len(counts)
    surplus = sum((count - mean) ** 2 for count in counts) / mean - (len(counts) - 1)
    return surplus / (2 * (len(counts) - 1)) ** 0.5


def test_buckets_that_are_added_take_keys_from_all_and_move_no_others() -> None:
    before = [0] * len(POSITIONS)
    for count in range(1, 71):
        now = [jump_back(position, count) for position in POSITIONS[:600]]
        assert all(new in (old, count - 1) for old, new in zip(before, now, strict=False))
        assert all(0 <= bucket < count for bucket in now)
        before = now
    assert [jump_back(position, 0) for position in POSITIONS[:3]] == [0, 0, 0]
    assert jump_back(7, 2**31 - 1) < 2**31 - 1


@pytest.mark.parametrize("count", [2, 3, 5, 8, 9, 37])
def test_buckets_have_equal_shares(count: int) -> None:
    found = [jump_back(position, count) for position in POSITIONS]
    assert chi_square([found.count(bucket) for bucket in range(count)]) < 4


def walk(count: int, steps: int, keys: range, random: Random) -> None:
    """Let nodes leave and join, and look at who gets what after each step."""
    placement = Memento(Node(f"n{number}") for number in range(count))
    owners = placement.node_many(keys)
    for step in range(steps):
        if len(placement) > 2 and random.random() < 0.7:
            changed = random.choice(list(placement.nodes_by_id))
            placement = placement.with_nodes(remove=[changed])
        else:
            changed = f"new{step}"
            placement = placement.with_nodes(add=[Node(changed)])
        before, owners = owners, placement.node_many(keys)
        for old, new in zip(before, owners, strict=True):
            assert old is new or changed in (old.id, new.id)
        places = placement.index_many(keys)
        assert chi_square([places.count(place) for place in range(len(placement))]) < 5, step


def test_shares_stay_equal_whoever_leaves_and_nothing_moves_for_nothing() -> None:
    walk(24, 16, range(1200), Random(7))


@pytest.mark.slow
def test_shares_stay_equal_over_long_histories() -> None:
    for seed in range(4):
        walk(60, 70, range(20_000), Random(seed))


def test_the_keys_of_a_leaver_spread_over_all_others() -> None:
    placement = Memento(Node(f"n{number:02}") for number in range(20))
    for gone in ("n03", "n11", "n07"):
        placement = placement.with_nodes(remove=[gone])
    keys = range(6000)
    before = placement.index_many(keys)
    after = placement.with_nodes(remove=["n05"])
    heirs = after.index_many(key for key, place in zip(keys, before, strict=True) if place == 4)
    assert list(placement)[4].id == "n05"
    assert chi_square([heirs.count(place) for place in range(16)]) < 4


def test_buckets_are_numbered_and_numbers_are_used_again() -> None:
    first = Memento(SIX)
    assert (first.buckets, first.removed) == (("n0", "n1", "n2", "n3", "n4", "n5"), ())
    shorter = first.with_nodes(remove=["n5"])
    assert (shorter.buckets, shorter.removed) == (("n0", "n1", "n2", "n3", "n4"), ())
    holed = first.with_nodes(remove=["n2"]).with_nodes(remove=["n5"])
    assert (holed.buckets[2], holed.buckets[5], holed.removed) == (None, None, (2, 5))
    back = holed.with_nodes(add=[Node("x")])
    assert (back.buckets[5], back.removed) == ("x", (2,))
    full = back.with_nodes(add=[Node("y"), Node("z")])
    assert (full.buckets, full.removed) == (("n0", "n1", "y", "n3", "n4", "x", "z"), ())
    # Both in one call: removed by ascending id, added by ascending id.
    both = first.with_nodes(remove=["n4", "n1"], add=[Node("b"), Node("a")])
    assert (both.buckets[4], both.buckets[1]) == ("a", "b")
    alone = first.with_nodes(remove=["n1", "n2", "n3", "n4", "n5"])
    assert alone == Memento([Node("n0")])
    assert alone.with_nodes(remove=["n0"]).with_nodes(add=[Node("n0")]).buckets == ("n0",)


def test_the_order_of_removals_is_part_of_the_placement() -> None:
    one = Memento(SIX).with_nodes(remove=["n1"]).with_nodes(remove=["n3"])
    other = Memento(SIX).with_nodes(remove=["n3"]).with_nodes(remove=["n1"])
    assert list(one) == list(other)
    assert one != other
    keys = range(500)
    assert one.index_many(keys) != other.index_many(keys)


HOLED = Memento(SIX[:4]).with_nodes(remove=["n1"])


@pytest.mark.parametrize(
    "changes",
    [
        {"buckets": ["n0", None, "n2"]},
        {"buckets": ["n0", None, "n2", "n2"]},
        {"buckets": ["n0", None, "n2", "x"]},
        {"buckets": ["n0", 1, "n2", "n3"]},
        {"buckets": None},
        {"buckets": {}},
        {"buckets": ["n0", "n2", "n3"]},
        {"buckets": ["n0", "n2", "n3", None], "removed": [3]},
        {"removed": []},
        {"removed": [1, 1]},
        {"removed": [2]},
        {"removed": [True]},
        {"removed": ["1"]},
        {"removed": None},
        {"nodes": [], "buckets": [None], "removed": [0]},
    ],
)
def test_texts_that_no_history_leads_to_are_refused(changes: dict[str, Any]) -> None:
    told = {**json.loads(HOLED.to_json()), "fingerprint": None}
    assert Memento.from_json(json.dumps(told)) == HOLED
    with pytest.raises(UsageError):
        Memento.from_json(json.dumps({**told, **changes}))


def test_weights_may_change_for_all_but_not_for_some() -> None:
    heavier = Memento(SIX).with_nodes(reweight={node.id: 2.0 for node in SIX})
    assert heavier == Memento(SIX)
    with pytest.raises(UsageError, match="equal shares"):
        heavier.with_nodes(add=[Node("light")])
