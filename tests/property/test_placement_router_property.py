"""Routing while keys move: no read misses what was written, whatever goes on meanwhile."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concordant.placement import Node, Placement, Plan, Router
from concordant.placement.keys import Key
from concordant.placement.plan.steps import Step
from tests.placement_kinds import IDS, KINDS, NUMBERS, Kind

# Many examples of many algorithms: more than daily use waits for.
pytestmark = pytest.mark.slow

KEYS = NUMBERS[:14]
GONE = object()


class Cluster:
    """Stores of several nodes, as services use them by the rules of a router."""

    def __init__(self) -> None:
        self.stores: defaultdict[str, dict[Key, Any]] = defaultdict(dict)
        self.written: dict[Key, Any] = {}

    def write(self, router: Router, key: Key, value: object) -> None:
        for node in router.write(key):
            self.stores[node.id][key] = value
        for node in router.forget(key):
            self.stores[node.id].pop(key, None)
        self.written[key] = value

    def delete(self, router: Router, key: Key) -> None:
        """Delete, leaving a mark at the new place: the old one may still have a copy."""
        self.write(router, key, GONE)
        del self.written[key]

    def read(self, router: Router, key: Key) -> object:
        for node in router.read(key):
            if key in self.stores[node.id]:
                found = self.stores[node.id][key]
                return None if found is GONE else found
        return None

    def copy(self, key: Key, source: str, target: str) -> None:
        """Copy what is at the old place, unless there is something at the new one."""
        if key in self.stores[source]:
            self.stores[target].setdefault(key, self.stores[source][key])

    def finish(self, step: Step) -> None:
        for key, source, _ in step.moves(KEYS):
            self.stores[str(source)].pop(key, None)

    def check(self, router: Router) -> None:
        for key in KEYS:
            assert self.read(router, key) == self.written.get(key), key


@st.composite
def migrations(draw: st.DrawFn) -> tuple[Placement, Placement, Plan]:
    """Return two placements of any algorithms, and the plan between them."""
    made: list[Placement] = []
    for _ in range(2):
        kind: Kind = draw(st.sampled_from(list(KINDS.values())))
        ids = draw(st.lists(st.sampled_from(IDS[:5]), min_size=1, max_size=4, unique=True))
        zones = draw(st.lists(st.sampled_from(["x", "y"]), min_size=4, max_size=4))
        nodes = [Node(node_id, zone=zone) for node_id, zone in zip(ids, zones, strict=False)]
        made.append(kind.make(nodes))
    old, new = made
    replicas = draw(st.integers(1, min(3, len(old), len(new))))
    return old, new, old.plan(new, replicas, spread=draw(st.sampled_from([None, "zone"])))


def steps_of(draw: st.DrawFn, plan: Plan) -> list[Step]:
    """Return the plan in a few steps; without ranges cut by hand, for a sample takes its time."""
    if plan.exact:
        return list(plan.steps(draw(st.sampled_from([1.0, 0.2, 0.05]))))
    cut = draw(st.integers(0, 1 << 64))
    return [Step(plan, 0, 0, cut, 0.0), Step(plan, 1, cut, 1 << 64, 0.0)]


@given(migrations(), st.data())
@settings(max_examples=35)
def test_no_read_misses_what_was_written(
    two: tuple[Placement, Placement, Plan], data: st.DataObject
) -> None:
    old, new, plan = two
    cluster = Cluster()
    before = Router(plan, old, new, 0, 0)
    for key in data.draw(st.sets(st.sampled_from(KEYS))):
        cluster.write(before, key, "before")
    router = before
    for step in data.draw(st.composite(steps_of)(plan)):
        router = step.router(old, new)
        todo = data.draw(st.permutations(step.moves(KEYS)))
        cluster.check(router)
        while todo:
            for key in data.draw(st.lists(st.sampled_from(KEYS), max_size=3)):
                if data.draw(st.booleans()) or key not in cluster.written:
                    cluster.write(router, key, f"in step {step.number}, {len(todo)} to go")
                else:
                    cluster.delete(router, key)
            key, source, target = todo.pop()
            cluster.copy(key, str(source), str(target))
            cluster.check(router)
        # A copy that failed half way is begun again, and a step may be, too.
        for key, source, target in step.moves(KEYS):
            cluster.copy(key, str(source), str(target))
        cluster.check(router)
        cluster.finish(step)
        cluster.check(Router(plan, old, new, step.end, step.end))
    cluster.check(Router(plan, old, new, 1 << 64, 1 << 64))
    for key, value in cluster.written.items():
        for node in new.nodes(key, plan.replicas, spread=plan.spread):
            assert cluster.stores[node.id][key] == value


@given(migrations(), st.data())
@settings(max_examples=60)
def test_no_process_misses_what_another_has_written_while_they_enter_a_step(
    two: tuple[Placement, Placement, Plan], data: st.DataObject
) -> None:
    old, new, plan = two
    step = data.draw(st.sampled_from([*plan.steps(1.0), Step(plan, 0, 0, 1 << 64, 0.0)]))
    # Few keys, so that processes meet at one.
    keys = [*{key for key, _, _ in step.moves(KEYS)}, *KEYS][:2]
    cluster = Cluster()
    outside = Router(plan, old, new, step.start, step.start)
    states = [outside, step.router(old, new, preparing=True), step.router(old, new)]
    processes = [0, 0]
    if data.draw(st.booleans()):
        cluster.write(outside, keys[0], "before")
    for number, (each, goes_on, key, deletes) in enumerate(
        data.draw(
            st.lists(
                st.tuples(st.integers(0, 1), st.booleans(), st.sampled_from(keys), st.booleans()),
                max_size=12,
            )
        )
    ):
        # Nobody is more than one state ahead of anybody.
        if goes_on and processes[each] == min(processes) < 2:
            processes[each] += 1
        if deletes and key in cluster.written:
            cluster.delete(states[processes[each]], key)
        else:
            cluster.write(states[processes[each]], key, number)
        for state in processes:
            cluster.check(states[state])


@given(migrations())
@settings(max_examples=25)
def test_a_router_asks_new_nodes_then_old_ones_while_a_key_moves(
    two: tuple[Placement, Placement, Plan],
) -> None:
    old, new, plan = two
    replicas, spread = plan.replicas, plan.spread
    moving = {key for key, _, _ in plan.moves(KEYS)}
    for key in KEYS:
        held = old.nodes(key, replicas, spread=spread)
        wanted = new.nodes(key, replicas, spread=spread)
        whole = plan.router(old, new)
        assert whole.write(key) == wanted
        others = [node for node in held if node.id not in {each.id for each in wanted}]
        assert whole.read(key) == [*wanted, *others]
        assert whole.is_moving(key) == (key in moving) == bool(others)
        done, ahead = Router(plan, old, new, 1 << 64), Router(plan, old, new, 0, 0)
        assert done.write(key) == done.read(key) == wanted
        assert ahead.write(key) == ahead.read(key) == held
        assert not done.is_moving(key)
        assert not ahead.is_moving(key)
