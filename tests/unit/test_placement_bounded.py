"""Bounded loads by example: refusals, blocks, threads."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Thread
from typing import Any

import pytest

from concordant.errors import CapacityExceeded, UsageError
from concordant.placement import Balancer, HashRing, IntJump, Node, assign
from concordant.placement.compat import UhashringKetama

RING = HashRing([Node("a"), Node("b"), Node("c")])
KEYS = [f"key-{number}" for number in range(300)]


def test_most_keys_stay_where_the_placement_puts_them() -> None:
    nodes = assign(RING, KEYS, 1.25)
    assert max(Counter(nodes).values()) <= 125
    assert sum(node == RING.node(key) for key, node in zip(KEYS, nodes, strict=True)) > 250
    assert set(Counter(assign(RING, KEYS, 1)).values()) == {100}


def test_a_bound_is_taken_as_it_is_written() -> None:
    # 1.1 times 10 keys on one of ten equal nodes is 1.1, and as a double a little more than that.
    ring = HashRing([Node(f"n{number}") for number in range(10)])
    assert max(Counter(assign(ring, KEYS[:100], 1.1)).values()) <= 11


def test_a_key_that_occurs_twice_counts_once() -> None:
    assert len(set(assign(RING, ["k"] * 50, 1))) == 1
    assert len(set(assign(RING, ["7", 7, b"7", bytearray(b"7")], 1))) == 1


def test_nothing_to_assign_is_assigned() -> None:
    assert assign(RING, [], 1) == []
    assert assign(HashRing(), [], 1, capacities={"a": 0}) == []


def test_keys_without_nodes_are_refused() -> None:
    with pytest.raises(UsageError, match="without nodes"):
        assign(HashRing(), ["k"])
    with pytest.raises(CapacityExceeded):
        assign(HashRing(), ["k"], capacities={"a": 1})
    with pytest.raises(CapacityExceeded):
        Balancer(HashRing()).acquire("k")


BOUNDS: list[Any] = [0.99, 0, -1, 1001, float("nan"), float("inf"), True, "1.25", None]


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_bound_that_is_none_is_refused(bound: Any) -> None:
    with pytest.raises(UsageError, match="bound"):
        assign(RING, KEYS, bound)
    with pytest.raises(UsageError, match="bound"):
        Balancer(RING, bound)


@pytest.mark.parametrize("capacity", [-1, 1.0, True, None, 2**63])
def test_a_capacity_that_is_none_is_refused(capacity: Any) -> None:
    with pytest.raises(UsageError, match="capacity of node 'a'"):
        assign(RING, KEYS, capacities={"a": capacity})
    with pytest.raises(UsageError, match="capacity of node 'a'"):
        Balancer(RING, capacities={"a": capacity})


@pytest.mark.parametrize("key", [None, 1.5, True, "\ud800"])
def test_what_is_no_key_is_refused_with_nothing_acquired(key: Any) -> None:
    balancer = Balancer(RING)
    with pytest.raises(UsageError):
        balancer.acquire(key)
    with pytest.raises(UsageError):
        assign(RING, [key])
    with pytest.raises(UsageError):
        balancer.acquire("k", exclude="a")
    assert set(balancer.loads.values()) == {0}


def test_a_block_serves_and_gives_back_whatever_happens() -> None:
    balancer = Balancer(RING)
    with balancer.serving("k") as node:
        assert balancer.loads[node.id] == 1
        assert node == RING.node("k")
        with balancer.serving("k", exclude=[node]) as other:
            assert other == RING.nodes("k", 2)[1]
    with pytest.raises(ZeroDivisionError), balancer.serving("k"):
        raise ZeroDivisionError
    assert set(balancer.loads.values()) == {0}


def test_loads_are_a_view_of_that_moment() -> None:
    balancer = Balancer(RING)
    before = balancer.loads
    node = balancer.acquire("k")
    assert before[node.id] == 0
    with pytest.raises(TypeError):
        before[node.id] = 7  # type: ignore[index]


def test_the_load_of_a_node_that_left_is_nobodys_share_until_it_is_given_back() -> None:
    balancer = Balancer(HashRing([Node("a")]), 1)
    for _ in range(10):
        balancer.acquire("k")
    balancer.follow(HashRing([Node("b"), Node("c")]))
    assert balancer.loads == {"a": 10, "b": 0, "c": 0}
    # Were the ten counted, both could have several before the other has one.
    assert {balancer.acquire("k").id, balancer.acquire("k").id} == {"b", "c"}
    for _ in range(10):
        balancer.release("a")
    assert balancer.loads == {"b": 1, "c": 1}
    with pytest.raises(UsageError, match="nothing is acquired on node 'a'"):
        balancer.release("a")


def test_the_load_of_nodes_that_are_passed_over_is_nobodys_share() -> None:
    balancer = Balancer(RING, 1)
    for _ in range(30):
        balancer.acquire("k", exclude=["b", "c"])
    assert balancer.loads == {"a": 30, "b": 0, "c": 0}
    # Were the thirty counted, one of the others could have sixteen before the other has one.
    found = [balancer.acquire("k", exclude=["a"]).id for _ in range(6)]
    assert sorted(found) == ["b", "b", "b", "c", "c", "c"]


def test_a_placement_that_cannot_be_followed_changes_nothing() -> None:
    balancer = Balancer(RING)
    heavy = UhashringKetama([Node("x", 2.0**30)])
    with pytest.raises(UsageError, match="weight"):
        balancer.follow(heavy)
    assert balancer.placement is RING
    assert {balancer.acquire(key).id for key in KEYS[:30]} == {"a", "b", "c"}


@pytest.fixture
def hasty() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_threads_never_overfill_a_node() -> None:
    capacities = {"a": 2, "b": 3, "c": 1}
    balancer = Balancer(RING, 1000, capacities=capacities)
    start = Barrier(4)

    def serve(number: int) -> int:
        start.wait(10)
        served = 0
        for key in range(500):
            try:
                with balancer.serving("k"), balancer.serving(key):
                    served += 1
                    loads = balancer.loads
                    assert all(loads[each] <= most for each, most in capacities.items())
            except CapacityExceeded:
                continue
            if number == 0 and key % 50 == 0:
                balancer.follow(balancer.placement)
        return served

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(serve, range(4))) > 0
    assert balancer.loads == {"a": 0, "b": 0, "c": 0}


def test_what_names_the_excluded_may_ask_for_the_loads() -> None:
    balancer = Balancer(RING)
    done: list[Node] = []
    busy = (node_id for node_id in ("a", "b", "c") if balancer.loads[node_id] > 5)
    thread = Thread(target=lambda: done.append(balancer.acquire("k", exclude=busy)), daemon=True)
    thread.start()
    thread.join(10)
    assert done == [RING.node("k")]


def test_a_bound_may_be_another_kind_of_float() -> None:
    class Named(float):
        def __repr__(self) -> str:
            return f"Named({float(self)})"

    assert assign(RING, KEYS, Named(1.1)) == assign(RING, KEYS, 1.1)


def test_the_spelling_of_a_key_that_comes_twice_does_not_matter() -> None:
    placement = IntJump([Node("a"), Node("b")])
    for keys in (["42", 42], [42, "42"]):
        with pytest.raises(UsageError, match="hash already"):
            assign(placement, keys)


def test_capacities_may_change_with_the_nodes() -> None:
    balancer = Balancer(RING, 1000, capacities={"a": 0, "b": 0, "c": 0})
    with pytest.raises(CapacityExceeded):
        balancer.acquire("k")
    balancer.follow(RING, capacities={})
    assert balancer.acquire("k") == RING.node("k")
