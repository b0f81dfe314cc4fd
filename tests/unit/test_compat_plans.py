"""Plans from another library's placement: to its next nodes, to ours, and back again."""

from __future__ import annotations

import pytest

from concordant.placement import HashRing, Node, Placement, Plan, Rendezvous
from concordant.placement.compat import (
    LibmemcachedKetama,
    PymemcacheRendezvous,
    RedisCluster,
    UhashringKetama,
    UhashringMd5,
)

# Many examples of many algorithms: more than daily use waits for.
pytestmark = pytest.mark.slow

KEYS = [f"key-{number}" for number in range(400)]
NODES = [Node(f"10.0.0.{number}:11211") for number in range(1, 5)]
COMING = Node("10.0.0.9:11211")


def redis() -> RedisCluster:
    slots = {node.id: [(at * 4096, at * 4096 + 4095)] for at, node in enumerate(NODES)}
    return RedisCluster(NODES, slots)


PLACEMENTS: list[Placement] = [
    LibmemcachedKetama(NODES),
    LibmemcachedKetama(NODES, weighted=False, hash="one-at-a-time"),
    PymemcacheRendezvous(NODES),
    redis(),
    UhashringKetama(NODES),
    UhashringMd5(NODES),
]
EACH = pytest.mark.parametrize("old", PLACEMENTS, ids=lambda each: type(each).__name__)


def brute_force(old: Placement, new: Placement) -> list[tuple[str, str, str]]:
    pairs = ((key, old.node(key).id, new.node(key).id) for key in KEYS)
    return [(key, before, after) for key, before, after in pairs if before != after]


def grown(old: Placement) -> Placement:
    new = old.with_nodes(add=[COMING])
    return new.with_slots({COMING.id: [(0, 3000)]}) if isinstance(new, RedisCluster) else new


@EACH
def test_a_change_within_the_library_is_planned(old: Placement) -> None:
    new = grown(old)
    plan = old.plan(new)
    assert plan.moves(KEYS) == brute_force(old, new) != []
    assert Plan.from_json(plan.to_json()).moves(KEYS) == plan.moves(KEYS)
    # Scores have no ranges; tables under one hash have exact ones.
    assert plan.exact == (not isinstance(old, PymemcacheRendezvous))
    if plan.exact:
        assert plan.ranges
        assert plan.moved_share == pytest.approx(len(plan.moves(KEYS)) / len(KEYS), abs=0.1)


@EACH
@pytest.mark.parametrize("ours", [HashRing, Rendezvous])
def test_the_way_to_our_own_and_back_is_planned_by_asking(
    old: Placement, ours: type[HashRing] | type[Rendezvous]
) -> None:
    new = ours(NODES)
    for before, after in ((old, new), (new, old)):
        plan = before.plan(after)
        assert not plan.exact
        assert plan.moves(KEYS) == brute_force(before, after) != []
        assert Plan.from_json(plan.to_json()) == plan
        steps = plan.steps(max_share=0.25)
        assert len(steps) > 2
        done = [move for step in steps for move in step.moves(KEYS)]
        assert sorted(done) == sorted(plan.moves(KEYS))


@EACH
def test_routing_reads_where_a_key_is_and_writes_where_it_goes(old: Placement) -> None:
    new = HashRing(NODES)
    for step in old.plan(new).steps(max_share=0.25)[1:3]:
        router = step.router(old, new)
        for key in KEYS:
            before, after = old.node(key), new.node(key)
            if key in step:
                assert router.write(key) == [after]
                assert router.read(key) == ([after] if before == after else [after, before])
            else:
                assert router.write(key) == router.read(key)
                assert router.write(key) in ([before], [after])


def test_between_libraries_of_one_hash_the_plan_is_exact() -> None:
    hosts = ["10.0.0.1:11212", "10.0.0.2:11212", "10.0.0.3:11212"]
    nodes = [Node(host) for host in hosts]
    same = LibmemcachedKetama(nodes).plan(UhashringKetama(nodes))
    assert same.exact
    # The points are alike, but a key on a point is its node's here and the next one's there.
    assert same.ranges
    assert {moved.end - moved.start for moved in same.ranges} == {1 << 32}
    assert 300 / 2**32 < same.moved_share <= 480 / 2**32


@pytest.mark.parametrize("replicas", [2, 3])
def test_replicas_are_planned_where_some_nodes_own_nothing(replicas: int) -> None:
    old = redis().with_nodes(add=[COMING])
    new = old.with_slots({COMING.id: [(0, 8000)]})
    plan = old.plan(new, replicas)
    for key in KEYS:
        before = {node.id for node in old.nodes(key, replicas)}
        after = {node.id for node in new.nodes(key, replicas)}
        moved = plan.moves([key])
        assert {from_id for _, from_id, _ in moved} == before - after
        assert {to_id for _, _, to_id in moved} == after - before
