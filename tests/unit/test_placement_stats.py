"""Figures about placements: against counted keys, against plans, and by hand."""

from __future__ import annotations

import json
from collections import Counter
from math import sqrt

import numpy as np
import pytest

from concordant.errors import UsageError
from concordant.placement import (
    HashRing,
    Jump,
    Maglev,
    Memento,
    ModuloRing,
    Node,
    Placement,
    Rendezvous,
    Slots,
)
from concordant.placement.hashing.mixing import mix
from concordant.placement.keys import Key
from concordant.placement.stats import owned, shares
from concordant.placement.stats.heirs import _owned_between
from tests.placement_kinds import Kind, every_kind, kinds
from tests.placement_oracle import SPACE, TIED_IDS

SAMPLE: list[Key] = [mix(number) for number in range(8_000)]
ONE_TO_TWO = HashRing([Node("a"), Node("b", 2.0), Node("c")])


def counted(placement: Placement) -> Counter[str]:
    ids = list(placement.nodes_by_id)
    return Counter(ids[place] for place in placement.index_many(SAMPLE))


def near(found: float, expected: float, samples: int) -> bool:
    """Tell whether a counted share is within five standard deviations of the expected one."""
    return abs(found - expected) <= 5 * sqrt(max(expected * (1 - expected), 1e-9) / samples)


@every_kind
@pytest.mark.parametrize("count", [1, 3, 7])
def test_shares_are_those_that_counted_keys_have(kind: Kind, count: int) -> None:
    placement = kind.placement(count)
    stats, found = placement.stats(), counted(placement)
    assert list(stats.shares) == list(placement.nodes_by_id)
    assert sum(stats.shares.values()) == pytest.approx(1.0)
    for node_id, share in stats.shares.items():
        assert near(found[node_id] / len(SAMPLE), share, len(SAMPLE)), node_id
    assert stats.basis == ("exact" if kind.ranges else "expected")
    assert stats.keys is None


@pytest.mark.slow
@every_kind
def test_heirs_are_those_of_the_keys_that_move(kind: Kind) -> None:
    placement = kind.placement(6)
    stats = placement.stats()
    ids = list(placement.nodes_by_id)
    owners = placement.index_many(SAMPLE)
    for leaver in kind.leavers(placement):
        after = placement.with_nodes(remove=[leaver])
        left = list(after.nodes_by_id)
        now = after.index_many(SAMPLE)
        lost = [left[new] for old, new in zip(owners, now, strict=True) if ids[old] == leaver]
        heirs = stats.heirs(leaver)
        assert bool(heirs) == bool(stats.shares[leaver])
        if not heirs:
            continue
        assert list(heirs) == [each for each in ids if each != leaver]
        assert sum(heirs.values()) == pytest.approx(1.0)
        for node_id, share in heirs.items():
            assert not lost or near(lost.count(node_id) / len(lost), share, len(lost)), leaver


@kinds(lambda kind: kind.ranges)
def test_heirs_of_tables_are_exact(kind: Kind) -> None:
    placement = kind.placement(6)
    stats = placement.stats()
    for leaver in kind.leavers(placement):
        matrix = placement.plan(placement.with_nodes(remove=[leaver])).matrix
        for node_id, share in stats.heirs(leaver).items():
            flow = matrix.get((leaver, node_id), 0.0)
            assert share * stats.shares[leaver] == pytest.approx(flow, abs=1e-12)


@every_kind
def test_who_cannot_leave_has_no_heirs(kind: Kind) -> None:
    placement = kind.placement(5)
    stats, leavers = placement.stats(), kind.leavers(placement)
    for node_id in placement.nodes_by_id:
        if node_id not in leavers:
            with pytest.raises(UsageError):
                stats.heirs(node_id)
    assert stats.leavers.asked == 5
    assert set(stats.leavers.max_load) == {each for each in leavers if stats.shares[each] > 0}


def test_points_that_meet_pass_from_one_node_to_the_other() -> None:
    ring = HashRing([*map(Node, TIED_IDS), Node("third")], 1)
    smaller, larger = sorted(TIED_IDS)
    heirs = ring.stats().heirs(smaller)
    assert heirs[larger] == pytest.approx(1.0)
    assert ring.stats().heirs(larger) == {}


def test_figures_by_hand() -> None:
    nodes = [Node("a"), Node("b"), Node("c", 2.0)]
    placement = Slots.assigned(nodes, [*"aaabcccc"])
    stats = placement.stats()
    assert stats.shares == {"a": 0.375, "b": 0.125, "c": 0.5}
    assert stats.fair_shares == {"a": 0.25, "b": 0.25, "c": 0.5}
    assert stats.loads == {"a": 1.5, "b": 0.5, "c": 1.0}
    assert (stats.max_load, stats.min_load) == (1.5, 0.5)
    assert stats.variation == pytest.approx(sqrt((0.25 + 0.25 + 0) / 3))


def test_leavers_by_hand() -> None:
    # A node with one point leaves all to the next one, which is one of two heirs.
    ring = ModuloRing([Node("a"), Node("b"), Node("c")], p=1000)
    leavers = ring.stats().leavers
    assert leavers.max_load == pytest.approx({"a": 2.0, "b": 2.0, "c": 2.0})
    assert (leavers.worst, leavers.median) == (pytest.approx(2.0), pytest.approx(2.0))
    even = Rendezvous([Node("a"), Node("b", 3.0), Node("c", 0.5)]).stats()
    assert even.leavers.basis == "expected"
    assert even.leavers.worst == pytest.approx(1.0)
    assert even.heirs("c") == pytest.approx({"a": 0.25, "b": 0.75})


def test_jump_hash_loses_the_last_node_only() -> None:
    stats = Jump([Node("a"), Node("b"), Node("c")]).stats()
    assert stats.heirs("c") == {"a": 0.5, "b": 0.5}
    assert list(stats.leavers.max_load) == ["c"]
    with pytest.raises(UsageError, match="only the last bucket"):
        stats.heirs("a")


@pytest.mark.parametrize("make", [HashRing, Slots, Maglev, ModuloRing, Rendezvous, Memento, Jump])
def test_no_node_and_one(make: type[HashRing]) -> None:
    empty = make().stats()
    assert (empty.shares, empty.loads) == ({}, {})
    assert empty.max_load is empty.min_load is empty.variation is None
    assert empty.leavers.worst is empty.leavers.median is None
    one = make([Node("a")]).stats()
    assert one.shares == one.loads == {"a": 1.0}
    assert (one.max_load, one.min_load, one.variation) == (1.0, 1.0, 0.0)
    assert one.heirs("a") == {}
    assert one.leavers.max_load == {}
    for stats in (empty, one):
        json.dumps(stats.as_dict(), allow_nan=False)


def test_a_leaver_has_to_be_there() -> None:
    with pytest.raises(UsageError, match="'z'"):
        ONE_TO_TWO.stats().heirs("z")


@pytest.mark.parametrize(("start", "end"), [(0, SPACE), (5, SPACE - 5), (7, 8), (1 << 62, 3 << 62)])
def test_heirs_are_told_to_the_position(start: int, end: int) -> None:
    ring = HashRing([*map(Node, TIED_IDS), Node("third")], 3)
    found: Counter[str] = Counter()
    for size, slot in _owned_between(ring, start, end):
        found[ring._slots[slot].id] += size
    expected: Counter[str] = Counter()
    for arc in ring.arcs():
        if arc.owner_id and arc.start < end and arc.end > start:
            expected[arc.owner_id] += min(arc.end, end) - max(arc.start, start)
    assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "placement",
    [
        Jump([Node("a", 1e308), Node("b", 1e308)]),
        Memento([Node("a", 5e-324), Node("b", 5e-324)]),
        HashRing([Node("a", 5e-324), Node("b", 1000.0)], 1),
        HashRing([Node("a", 5e-324), Node("b", 1e-323), Node("c", 1e6)], 1),
        Slots([Node("a", 5e-324), Node("b", 1e-300), Node("c", 1e6)], 8),
    ],
)
def test_figures_of_extreme_weights_are_finite(placement: Placement) -> None:
    for stats in (placement.stats(), placement.stats(["a", "b", "c"])):
        json.dumps(stats.as_dict(), allow_nan=False)
        assert sum(stats.fair_shares.values()) == pytest.approx(1.0)
        assert all(share > 0 for share in stats.fair_shares.values())
    joined = placement.with_nodes(add=[Node("z", placement.nodes_by_id["a"].weight)])
    assert 0 <= placement.plan(joined).minimum_share <= 1


# --- keys that are given ------------------------------------------------------------------


def test_given_keys_are_counted_as_often_as_they_come() -> None:
    owner = ONE_TO_TWO.node("k").id
    stats = ONE_TO_TWO.stats(["k", "k", "k"])
    assert (stats.basis, stats.keys) == ("counted", 3)
    assert stats.shares == {node.id: float(node.id == owner) for node in ONE_TO_TWO}
    assert stats.loads[owner] == pytest.approx(1 / ONE_TO_TWO.stats().fair_shares[owner])


def test_keys_come_as_lists_columns_and_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"user:{number}" for number in range(1000)]
    stats = ONE_TO_TWO.stats(keys)
    assert stats.shares == {
        node.id: sum(ONE_TO_TWO.node(key) == node for key in keys) / 1000 for node in ONE_TO_TWO
    }
    assert ONE_TO_TWO.stats(np.array(keys)).shares == stats.shares
    for batch in (1, 7, 1000, 4096):
        monkeypatch.setattr(owned, "BATCH_KEYS", batch)
        found = ONE_TO_TWO.stats(iter(keys))
        assert (found.shares, found.keys) == (stats.shares, 1000)


def test_no_keys_are_no_load() -> None:
    for keys in ([], iter(())):
        stats = ONE_TO_TWO.stats(keys)
        assert stats.keys == 0
        assert stats.shares == {"a": 0.0, "b": 0.0, "c": 0.0}
        assert stats.max_load is None
        json.dumps(stats.as_dict(), allow_nan=False)


def test_what_cannot_be_counted() -> None:
    with pytest.raises(UsageError, match="add a node"):
        HashRing().stats(["k"])
    with pytest.raises(UsageError):
        ONE_TO_TWO.stats([None])  # type: ignore[list-item]
    with pytest.raises(UsageError):
        ONE_TO_TWO.stats("one key")


# --- as data ------------------------------------------------------------------------------


def test_as_dict() -> None:
    stats = ONE_TO_TWO.stats()
    told = json.loads(json.dumps(stats.as_dict()))
    assert told["basis"] == "exact"
    assert (told["max_load"], told["min_load"]) == (stats.max_load, stats.min_load)
    assert told["leavers"] == {
        "basis": "exact",
        "asked": 3,
        "worst": stats.leavers.worst,
        "median": stats.leavers.median,
    }
    assert told["nodes"][1] == {
        "id": "b",
        "share": stats.shares["b"],
        "fair_share": 0.5,
        "load": stats.loads["b"],
        "heirs_max_load": stats.leavers.max_load["b"],
    }


def test_shares_alone() -> None:
    assert shares(ONE_TO_TWO) == ONE_TO_TWO.stats().shares


@pytest.mark.slow
def test_of_many_leavers_of_a_table_some_are_asked() -> None:
    leavers = Slots([Node(f"node-{number}") for number in range(100)]).stats().leavers
    assert leavers.asked == len(leavers.max_load) == 32
    assert leavers.worst is not None
    assert leavers.worst < 3
    ring = HashRing([Node(f"node-{number}") for number in range(100)]).stats()
    assert ring.leavers.asked == len(ring.leavers.max_load) == 100
