"""Bounded loads against their definition: keys that are known, requests that come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from concordant.errors import CapacityExceeded, UsageError
from concordant.placement import Balancer, HashRing, Node, Placement, Rendezvous, assign
from concordant.placement.keys import Key
from tests.placement_kinds import IDS, NUMBERS, TEXTS, Kind, every_kind, ids_of

WEIGHTS = st.sampled_from([1.0, 0.001, 0.5, 3.0])
node_dicts = st.dictionaries(st.sampled_from(IDS), WEIGHTS, min_size=1, max_size=5)
bounds = st.sampled_from([1, 1.0, 1.1, 1.25, 2.0, 1000])
key_lists = st.lists(st.sampled_from([*NUMBERS[:30], *TEXTS]), max_size=40)


def rooms(
    nodes: Iterable[Node], count: int, bound: float, most: Mapping[str, int]
) -> dict[str, int]:
    """Return how many each may have: ceil(bound x its weight's part of the count), if it can."""
    units = {node.id: max(1, round(node.weight * 10**6)) for node in nodes}
    whole = sum(units.values())
    return {
        node_id: min(ceil(Fraction(str(bound)) * count * each / whole), most.get(node_id, count))
        for node_id, each in units.items()
    }


def bytes_of(key: Key) -> bytes:
    return key if isinstance(key, bytes) else str(key).encode()


def naive(
    placement: Placement, keys: Iterable[Key], bound: float, most: Mapping[str, int]
) -> dict[bytes, str]:
    """Return who gets what: by ascending position, the first node of the list that has room."""
    distinct = {bytes_of(key): key for key in keys}
    left = rooms(placement, len(distinct), bound, most)
    taken: dict[bytes, str] = {}
    for data in sorted(distinct, key=lambda data: (placement._position(distinct[data]), data)):
        preference = ids_of(placement.nodes(distinct[data], len(placement)))
        taken[data] = next(node_id for node_id in preference if left[node_id])
        left[taken[data]] -= 1
    return taken


@given(node_dicts, key_lists, bounds, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_keys_are_assigned_as_defined_in_whatever_order(
    weights: dict[str, float], keys: list[Key], bound: float, random: object
) -> None:
    ring = HashRing([Node(*pair) for pair in weights.items()], 12)
    found = assign(ring, keys, bound)
    taken = naive(ring, keys, bound, {})
    assert ids_of(found) == [taken[bytes_of(key)] for key in keys]
    loads = Counter(taken.values())
    limits = rooms(ring, len(taken), bound, {})
    assert all(loads[node_id] <= limit for node_id, limit in limits.items())
    shuffled = [*keys, *keys[:5]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = assign(HashRing(list(ring)[::-1], 12), iter(shuffled), bound)
    assert dict(zip(map(bytes_of, shuffled), ids_of(again), strict=True)) == taken


@every_kind
def test_every_algorithm_bounds_loads(kind: Kind) -> None:
    placement = kind.placement(6)
    for bound in (1, 1.25):
        taken = naive(placement, kind.keys, bound, {})
        found = assign(placement, kind.keys, bound)
        assert ids_of(found) == [taken[bytes_of(key)] for key in kind.keys]
        limits = rooms(placement, len(taken), bound, {})
        assert all(taken_by <= limits[each] for each, taken_by in Counter(taken.values()).items())
        assert kind.fills is False or max(Counter(taken.values()).values()) > 1
    balancer = Balancer(placement, 1)
    for key in kind.keys:
        balancer.acquire(key)
        limits = rooms(placement, sum(balancer.loads.values()), 1, {})
        assert all(load <= limits[node_id] for node_id, load in balancer.loads.items())


@given(st.dictionaries(st.sampled_from(IDS), st.integers(0, 6), min_size=1))
@settings(max_examples=60)
def test_capacities_that_just_suffice_do_and_one_less_does_not(capacities: dict[str, int]) -> None:
    placement = Rendezvous(Node(node_id) for node_id in capacities)
    count = sum(capacities.values())
    keys = NUMBERS[:count]
    found = Counter(ids_of(assign(placement, keys, 1000, capacities={**capacities, "other": 9})))
    assert found == +Counter(capacities)
    with pytest.raises(CapacityExceeded, match=f"{count + 1} keys"):
        assign(placement, NUMBERS[: count + 1], 1000, capacities=capacities)
    balancer = Balancer(placement, 1000, capacities=capacities)
    for key in keys:
        balancer.acquire(key)
    full = dict(balancer.loads)
    assert full == capacities
    with pytest.raises(CapacityExceeded, match=f"{count} are acquired on {len(capacities)} nodes"):
        balancer.acquire(0)
    assert balancer.loads == full
    for node_id, load in full.items():
        for _ in range(load):
            balancer.release(node_id)
    assert set(balancer.loads.values()) == {0}


class Balancing(RuleBasedStateMachine):
    """A balancer against counts in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.placement: Placement = HashRing([Node(IDS[0]), Node(IDS[1], 3.0)], 12)
        self.capacities = {IDS[1]: 4, IDS[2]: 0, IDS[3]: 2}
        self.bound = 1.25
        self.balancer = Balancer(self.placement, self.bound, capacities=self.capacities)
        self.loads: Counter[str] = Counter()
        self.held: list[Node] = []

    @rule(key=st.sampled_from(NUMBERS[:12]), down=st.sets(st.sampled_from(IDS), max_size=2))
    def acquire(self, key: Key, down: set[str]) -> None:
        up = [node for node in self.placement if node.id not in down]
        count = sum(self.loads[node.id] for node in up) + 1
        limits = rooms(up, count, self.bound, self.capacities)
        expected = [
            node
            for node in self.placement.nodes(key, len(self.placement))
            if node in up and self.loads[node.id] < limits[node.id]
        ]
        if not expected:
            with pytest.raises(CapacityExceeded):
                self.balancer.acquire(key, exclude=down)
            # Nothing but capacities leads to that, or that nobody is up.
            assert not up or any(node.id in self.capacities for node in up)
            return
        node = self.balancer.acquire(key, exclude=down)
        assert node == expected[0]
        self.loads[node.id] += 1
        self.held.append(node)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), by_id=st.booleans())
    def release(self, data: st.DataObject, by_id: bool) -> None:
        node = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.balancer.release(node.id if by_id else node)
        self.loads[node.id] -= 1

    @rule(node_id=st.sampled_from(IDS))
    def release_too_often(self, node_id: str) -> None:
        if not self.loads[node_id]:
            with pytest.raises(UsageError, match="nothing is acquired"):
                self.balancer.release(node_id)

    @rule(weights=st.dictionaries(st.sampled_from(IDS[:5]), WEIGHTS, max_size=4))
    def follow(self, weights: dict[str, float]) -> None:
        self.placement = Rendezvous(Node(*pair) for pair in weights.items())
        self.balancer.follow(self.placement)
        assert self.balancer.placement is self.placement

    @invariant()
    def loads_are_those_counted(self) -> None:
        there = dict.fromkeys(self.placement.nodes_by_id, 0)
        assert self.balancer.loads == {**there, **+self.loads}


Balancing.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestBalancing = Balancing.TestCase
