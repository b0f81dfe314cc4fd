"""Routers by example, and what is lost where their rules are not kept."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import HashRing, Node, Placement, Plan, Rendezvous, Router
from tests.placement_oracle import SPACE, key_at

OLD = HashRing([Node("a"), Node("b")])
NEW = OLD.with_nodes(add=[Node("c")])
PLAN = OLD.plan(NEW)
KEY, FROM, TO = PLAN.moves([f"key-{number}" for number in range(30)])[0]
STEPS = PLAN.steps(0.1)
STEP = next(step for step in STEPS if KEY in step)

Stores = dict[str | None, dict[Any, str]]


def read(router: Router, stores: Stores) -> str | None:
    found = (stores[node.id].get(KEY) for node in router.read(KEY))
    return next((value for value in found if value is not None), None)


def write(router: Router, stores: Stores, value: str) -> None:
    for node in router.write(KEY):
        stores[node.id][KEY] = value


@pytest.fixture
def stores() -> Stores:
    return {"a": {}, "b": {}, "c": {}, FROM: {KEY: "first"}}


def test_a_moved_key_is_read_new_then_old() -> None:
    router = STEP.router(OLD, NEW)
    assert [node.id for node in router.read(KEY)] == [TO, FROM]
    assert [node.id for node in router.write(KEY)] == [TO]
    assert router.is_moving(KEY)


def test_placements_of_another_plan_are_refused() -> None:
    for old, new in ((NEW, NEW), (OLD, OLD), (OLD, HashRing([Node("x")]))):
        with pytest.raises(UsageError, match="the plan was made for"):
            PLAN.router(old, new)
        with pytest.raises(UsageError, match="fingerprint"):
            STEP.router(old, new)
    # Others that place alike will do, whatever their addresses.
    twin = HashRing([Node("b", address="10.0.0.1"), Node("a")])
    assert PLAN.router(twin, NEW).read(KEY)


def test_what_is_no_key_is_refused() -> None:
    router = PLAN.router(OLD, NEW)
    preparing = PLAN.router(OLD, NEW, preparing=True)
    for ask in (router.read, router.write, router.is_moving, preparing.forget):
        with pytest.raises(UsageError):
            ask(None)  # type: ignore[arg-type]


def test_of_an_empty_placement_there_is_nobody_to_ask() -> None:
    empty = HashRing()
    filling = empty.plan(OLD).router(empty, OLD)
    assert filling.read("k") == filling.write("k") == OLD.nodes("k", 1)
    emptying = OLD.plan(empty).router(OLD, empty)
    with pytest.raises(UsageError, match="no node to write to"):
        emptying.write("k")
    # Nobody can hold an older value, so even who prepares writes new.
    early = empty.plan(OLD).router(empty, OLD, preparing=True)
    assert early.write("k") == OLD.nodes("k", 1)
    assert early.forget("k") == []
    assert emptying.read("k") == OLD.nodes("k", 1)


def test_steps_begin_and_end_where_they_say() -> None:
    step = STEPS[1]
    router = step.router(OLD, NEW)
    for position, start, end in ((step.start, True, True), (step.end - 1, True, True)):
        assert (key_at(position) in step) == (start and end)
    for position in (step.start - 1, step.end):
        assert key_at(position) not in step
        assert not router.is_moving(key_at(position))
    assert router.read(key_at(step.start - 1)) == NEW.nodes(key_at(step.start - 1), 1)
    assert router.read(key_at(step.end)) == OLD.nodes(key_at(step.end), 1)
    assert (STEPS[0].start, STEPS[-1].end) == (0, SPACE)


@pytest.mark.parametrize("share", [0, -1, 1.1, 1e-7, float("nan"), True, "0.1", None])
def test_an_impossible_share_is_refused(share: Any) -> None:
    for plan in (PLAN, OLD.plan(Rendezvous(NEW))):
        with pytest.raises(UsageError, match="max_share"):
            plan.steps(share)


def test_steps_of_equal_placements_are_none() -> None:
    assert OLD.plan(OLD).steps(1) == ()
    one = Rendezvous(OLD)
    assert one.plan(one.with_nodes()).steps(1) == ()


def test_what_a_sample_does_not_show_takes_a_step_all_the_same() -> None:
    old = Rendezvous([Node("a", 1000), Node("b", 1000)])
    plan = old.plan(old.with_nodes(add=[Node("c", 0.000001)]))
    (step,) = plan.steps(0.5)
    assert (step.start, step.end, plan.moved_share) == (0, SPACE, 0.0)


def test_steps_are_never_above_the_share_by_rounding() -> None:
    nodes = [Node(each) for each in "abcdef"]
    plan = HashRing(nodes).plan(HashRing(nodes[2:], 40), 3)
    for share in (0.1, 0.07, 0.3, 1 / 3, 0.011):
        assert all(step.share <= share for step in plan.steps(share))


def test_a_plan_from_json_routes_as_well(stores: Stores) -> None:
    router = Plan.from_json(PLAN.to_json()).router(OLD, NEW)
    assert read(router, stores) == "first"


# What the rules guard against: each of these breaks one of them, and loses something.


def test_a_copy_that_overwrites_loses_what_was_written_meanwhile(stores: Stores) -> None:
    router = STEP.router(OLD, NEW)
    write(router, stores, "second")
    stores[TO][KEY] = stores[FROM][KEY]
    assert read(router, stores) == "first"


def test_a_deletion_that_is_forgotten_lets_the_old_copy_come_back(stores: Stores) -> None:
    router = STEP.router(OLD, NEW)
    write(router, stores, "second")
    for node in router.write(KEY):
        del stores[node.id][KEY]
    assert read(router, stores) == "first"


def test_who_has_not_entered_a_step_writes_what_the_others_do_not_read(stores: Stores) -> None:
    late, early = STEPS[STEP.number - 1].router(OLD, NEW), STEP.router(OLD, NEW)
    if STEP.number == 0:
        late = Router(PLAN, OLD, NEW, 0, 0)
    stores[TO].setdefault(KEY, stores[FROM][KEY])
    write(late, stores, "second")
    assert read(late, stores) == "second"
    assert read(early, stores) == "first"


def test_who_prepares_writes_old_and_forgets_what_is_new(stores: Stores) -> None:
    early, late = STEP.router(OLD, NEW), STEP.router(OLD, NEW, preparing=True)
    write(early, stores, "second")
    assert read(late, stores) == "second"
    assert [node.id for node in late.write(KEY)] == [FROM]
    assert [node.id for node in late.forget(KEY)] == [TO]
    write(late, stores, "third")
    del stores[TO][KEY]
    assert read(early, stores) == read(late, stores) == "third"
    assert early.forget(KEY) == []
    assert PLAN.router(OLD, NEW, preparing=True).forget(KEY) == late.forget(KEY)


def test_who_has_not_entered_a_step_does_not_read_what_the_others_write(stores: Stores) -> None:
    late, early = Router(PLAN, OLD, NEW, 0, 0), STEP.router(OLD, NEW)
    write(early, stores, "second")
    assert read(early, stores) == "second"
    assert read(late, stores) == "first"


def zoned(kind: type[Placement], zones: str) -> Placement:
    return kind(Node(node_id, zone=zone) for node_id, zone in zip("abcdef", zones, strict=True))


@pytest.mark.parametrize("kind", [HashRing, Rendezvous])
def test_a_change_of_zones_alone_is_planned_and_told_apart(kind: type[Placement]) -> None:
    old, new = zoned(kind, "xxxyyy"), zoned(kind, "xyxyxy")
    assert old == new
    plan = old.plan(new, 2, spread="zone")
    assert plan.moved_share > 0.1
    assert sum(step.share for step in plan.steps(0.05)) == pytest.approx(plan.moved_share)
    assert plan != old.plan(old, 2, spread="zone")
    assert Plan.from_json(plan.to_json()) == plan
    assert plan.router(old, new)
    for one, other in ((old, old), (new, new), (new, old)):
        with pytest.raises(UsageError, match="other zones"):
            plan.router(one, other)
    # Where zones decide nothing they are not looked at.
    assert old.plan(new, 2).router(new, old)
    assert old.plan(new, 2).steps(0.05) == ()


@pytest.mark.parametrize("new", [NEW, Rendezvous(NEW)])
def test_a_plan_that_was_used_is_pickled_and_copied(new: Placement) -> None:
    plan = OLD.plan(new)
    moves = plan.moves(["k", "l", KEY])
    for twin in (pickle.loads(pickle.dumps(plan)), copy.deepcopy(plan)):
        assert twin == plan
        assert twin.moves(["k", "l", KEY]) == moves
    step = plan.steps(0.2)[0]
    assert pickle.loads(pickle.dumps(step)) == step


def test_a_router_begins_and_ends_within_the_hash_space() -> None:
    for start, end in ((-1, 5), (5, 4), (0, SPACE + 1), ("a", None)):
        with pytest.raises(UsageError, match="of a router"):
            Router(PLAN, OLD, NEW, start, end)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="takes the old placement"):
        PLAN.router(OLD.to_json(), NEW)  # type: ignore[arg-type]
