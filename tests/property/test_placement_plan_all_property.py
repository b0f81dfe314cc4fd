"""Plans between any two algorithms: what they say is what asking both for every key would say."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from concordant.errors import UsageError
from concordant.placement import Node, Placement, Plan
from concordant.placement.plan.fair import minimum_share
from tests.placement_kinds import IDS, KINDS, NUMBERS, Kind, every_kind, ids_of, taken_in_rounds
from tests.placement_mangling import mangled
from tests.placement_oracle import SPACE, key_at

# Many examples of many algorithms: more than daily use waits for.
pytestmark = pytest.mark.slow

# Of one hash each, so that plans between them have ranges.
FAMILIES: dict[str, list[Kind]] = {}
for each in KINDS.values():
    if each.ranges:
        FAMILIES.setdefault(each.placement(1).hash_name, []).append(each)

Flows = list[tuple[str | None, str | None]]


def replicas_at(
    placement: Placement, position: int, replicas: int, spread: str | None
) -> list[str]:
    preference = list(placement._prefer(position))
    if spread:
        return taken_in_rounds(preference, replicas)
    return ids_of(preference[:replicas])


def copied(before: Sequence[str], after: Sequence[str]) -> Flows:
    leaving = [node_id for node_id in before if node_id not in after]
    joining = [node_id for node_id in after if node_id not in before]
    return list(zip(leaving, joining, strict=True))


def before_and_after(kind: Kind, other: Kind) -> tuple[Placement, Placement]:
    """Return two placements of which each has nodes of its own, and some that changed zones."""
    new = other.nodes(7)[2:]
    zones = dict(zip(IDS, ("x", "z", None, "y", "y", "x", "z"), strict=True))
    dressed = [Node(node.id, other.weights[0], zone=zones[node.id]) for node in new]
    return kind.placement(5, zoned=True), other.make(dressed)


@every_kind
def test_moves_equal_brute_force_for_every_pair(kind: Kind) -> None:
    keys = NUMBERS[:9]
    for other in KINDS.values():
        old, new = before_and_after(kind, other)
        for spread in (None, "zone"):
            held = [ids_of(old.nodes(key, 3, spread=spread)) for key in keys]
            wanted = [ids_of(new.nodes(key, 3, spread=spread)) for key in keys]
            for replicas in (1, 2, 3):
                expected = [
                    (key, *flow)
                    for key, before, after in zip(keys, held, wanted, strict=True)
                    for flow in copied(before[:replicas], after[:replicas])
                ]
                plan = old.plan(new, replicas, spread=spread)
                assert plan.moves(keys) == expected
                assert (plan.old_fingerprint, plan.new_fingerprint) == (
                    old.fingerprint(),
                    new.fingerprint(),
                )


@st.composite
def asked(draw: st.DrawFn) -> tuple[Placement, Placement, int, str | None]:
    """Return two placements that have ranges under one hash, replicas, and how they spread."""
    family = FAMILIES[draw(st.sampled_from(sorted(FAMILIES)))]
    made = []
    for _ in range(2):
        kind = draw(st.sampled_from(family))
        ids = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=5, unique=True))
        weight = draw(st.sampled_from(kind.weights))
        zones = draw(st.lists(st.sampled_from(["x", "y", None]), min_size=5, max_size=5))
        nodes = [
            Node(node_id, weight if place else 1.0, zone=zones[place])
            for place, node_id in enumerate(ids if kind.ranges else ids[:1])
        ]
        if len(kind.weights) == 1:
            nodes = [Node(node.id, zone=node.zone) for node in nodes]
        made.append(kind.make(nodes))
    old, new = made
    replicas = draw(st.integers(1, min(3, len(old), len(new))))
    return old, new, replicas, draw(st.sampled_from([None, "zone"]))


@given(asked(), st.data())
@settings(max_examples=60)
def test_ranges_are_exact_at_every_edge(
    two: tuple[Placement, Placement, int, str | None], data: st.DataObject
) -> None:
    old, new, replicas, spread = two
    plan = old.plan(new, replicas, spread=spread)
    told: dict[tuple[int, int], Flows] = {}
    for start, end, from_id, to_id in plan.ranges:
        assert 0 <= start < end <= SPACE
        told.setdefault((start, end), []).append((from_id, to_id))
    cells = sorted(told)
    assert all(one[1] <= two[0] for one, two in pairwise(cells))
    if len(cells) > 12:
        cells = [cells[0], *data.draw(st.lists(st.sampled_from(cells), min_size=9, max_size=9))]
    positions = {0, SPACE - 1, *data.draw(st.lists(st.integers(0, SPACE - 1), max_size=5))}
    positions |= {at for start, end in cells for at in (start - 1, start, end - 1, end % SPACE)}
    for position in filter(lambda position: position >= 0, positions):
        expected = copied(
            replicas_at(old, position, replicas, spread),
            replicas_at(new, position, replicas, spread),
        )
        said = [
            flow
            for (start, end), flows in told.items()
            if start <= position < end
            for flow in flows
        ]
        assert said == expected
        if plan.hash_name == "xxh64":
            key = key_at(position)
            assert plan.moves([key]) == [(key, *flow) for flow in expected]
    moved = sum((end - start) * len(flows) for (start, end), flows in told.items())
    assert plan.moved_share == moved / (SPACE * replicas)
    assert abs(sum(plan.matrix.values()) - plan.moved_share) < 1e-9


@given(asked(), st.floats(0.02, 1.0))
@settings(max_examples=50)
def test_steps_cover_everything_once_and_none_moves_more_than_asked(
    two: tuple[Placement, Placement, int, str | None], max_share: float
) -> None:
    old, new, replicas, spread = two
    plan = old.plan(new, replicas, spread=spread)
    steps = plan.steps(max_share)
    keys = NUMBERS[:50]
    if not plan.ranges:
        assert steps == ()
        return
    assert [step.number for step in steps] == list(range(len(steps)))
    assert (steps[0].start, steps[-1].end) == (0, SPACE)
    assert all(one.end == two.start < two.end for one, two in pairwise(steps))
    assert all(step.share <= max_share for step in steps)
    # Throttled no more than asked for: each step but the last is full.
    assert all(step.share > max_share * (1 - 1e-9) for step in steps[:-1])
    assert sum(step.share for step in steps) == pytest.approx(plan.moved_share)
    sizes = [
        sum((part.end - part.start for part in step.ranges), 0) / (SPACE * replicas)
        for step in steps
    ]
    assert sizes == [step.share for step in steps]
    assert all([key in step for step in steps].count(True) == 1 for key in keys)
    moves = [move for step in steps for move in step.moves(keys)]
    assert sorted(moves, key=repr) == sorted(plan.moves(keys), key=repr)


@given(asked())
@settings(max_examples=30)
def test_plans_are_read_back_exactly(two: tuple[Placement, Placement, int, str | None]) -> None:
    old, new, replicas, spread = two
    plan = old.plan(new, replicas, spread=spread)
    for twin in (Plan.from_json(plan.to_json()), pickle.loads(pickle.dumps(plan))):
        assert twin == plan
        assert twin.to_json() == plan.to_json()
        assert twin.moves(NUMBERS[:30]) == plan.moves(NUMBERS[:30])
        assert twin.router(old, new).is_moving(7) == plan.router(old, new).is_moving(7)
    told = json.loads(plan.to_json())
    assert (told["old_fingerprint"], told["new_fingerprint"]) == (
        old.fingerprint(),
        new.fingerprint(),
    )


def equal(kind: Kind, count: int) -> Placement:
    return kind.make(Node(node_id) for node_id in IDS[:count])


UNRANGED = {name: kind for name, kind in KINDS.items() if not kind.ranges}


@pytest.mark.parametrize("kind", UNRANGED.values(), ids=UNRANGED)
def test_plans_without_ranges_have_steps_that_cover_everything_once(kind: Kind) -> None:
    old = equal(kind, 2)
    new = old.with_nodes(add=[Node(IDS[2])])
    plan = old.plan(new)
    keys = kind.keys
    moved = len(plan.moves(NUMBERS)) / len(NUMBERS)
    assert not plan.exact
    assert plan.moved_share == pytest.approx(1 / 3, abs=0.02)
    assert moved == pytest.approx(plan.moved_share, abs=0.12)
    assert sum(plan.matrix.values()) == pytest.approx(plan.moved_share)
    assert plan.minimum_share == pytest.approx(1 / 3)
    steps = plan.steps(0.1)
    assert (len(steps), steps[0].start, steps[-1].end) == (4, 0, SPACE)
    assert all(one.end == two.start < two.end for one, two in pairwise(steps))
    assert all(step.share <= 0.1 for step in steps)
    assert all([key in step for step in steps].count(True) == 1 for key in keys)
    moves = [move for step in steps for move in step.moves(keys)]
    assert sorted(moves, key=repr) == sorted(plan.moves(keys), key=repr)
    for twin in (Plan.from_json(plan.to_json()), pickle.loads(pickle.dumps(plan))):
        assert twin == plan
        assert twin.moves(keys) == plan.moves(keys)
        assert twin.minimum_share == plan.minimum_share


@cache
def plan_text(old: str, new: str) -> str:
    return equal(KINDS[old], 2).plan(equal(KINDS[new], 3)).to_json()


@pytest.mark.parametrize("names", [("ring", "slots"), ("jump", "ring")])
@given(data=st.data())
@settings(max_examples=25)
def test_a_hostile_plan_is_refused_or_sound(names: tuple[str, str], data: st.DataObject) -> None:
    told = json.loads(plan_text(*names))
    told["ranges" if "ranges" in told else "matrix"][6:] = []
    text = json.dumps(data.draw(mangled(told)))
    try:
        plan = Plan.from_json(text)
    except UsageError:
        return
    assert len(plan.moves(NUMBERS[:5])) <= 5 * plan.replicas
    if not plan.exact:
        return  # its shares take a sample of thousands of keys
    assert Plan.from_json(plan.to_json()) == plan
    assert 0 <= plan.moved_share <= 1
    assert sum(len(step.moves(NUMBERS[:5])) for step in plan.steps(0.5)) == len(
        plan.moves(NUMBERS[:5])
    )


node_weights = st.dictionaries(
    st.integers(0, 30), st.sampled_from([1.0, 0.001, 0.3, 7.0]) | st.floats(0.001, 9), min_size=1
)


def fair(weights: dict[int, float], replicas: int) -> dict[int, Fraction]:
    """Return fair shares of all copies: by weight, but none has two copies of a key."""
    full: set[int] = set()
    while True:
        rest = {node: Fraction(weight) for node, weight in weights.items() if node not in full}
        left = 1 - Fraction(len(full), replicas)
        shares = {node: weight * left / sum(rest.values()) for node, weight in rest.items()}
        over = {node for node, share in shares.items() if share > Fraction(1, replicas)}
        if not over:
            return {**shares, **dict.fromkeys(full, Fraction(1, replicas))}
        full |= over


@given(node_weights, node_weights, st.integers(1, 4))
@example({0: 1.0}, {1: 1.0, 2: 0.001}, 1)
@settings(max_examples=60)
def test_the_minimum_is_what_fair_shares_differ_by(
    old: dict[int, float], new: dict[int, float], replicas: int
) -> None:
    replicas = min(replicas, len(old), len(new))
    before, after = fair(old, replicas), fair(new, replicas)
    exact = sum(max(Fraction(0), share - before.get(node, 0)) for node, share in after.items())
    nodes = [[Node(str(node), weight) for node, weight in each.items()] for each in (old, new)]
    found = minimum_share(nodes[0], nodes[1], replicas)
    assert 0 <= found <= 1
    assert found == pytest.approx(float(exact), abs=1e-9)
