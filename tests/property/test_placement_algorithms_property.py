"""Laws of every algorithm, for any sequence of changes."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concordant.errors import UsageError
from concordant.placement import Jump, Memento, Node, Placement, Rendezvous
from concordant.placement.tables.table import TablePlacement
from tests.placement_kinds import (
    IDS,
    KINDS,
    NUMBERS,
    Kind,
    every_kind,
    ids_of,
    kinds,
    lists_of,
    owners_of,
)
from tests.placement_oracle import SPACE

KEYS = NUMBERS[:120]


def one_change(draw: st.DrawFn, kind: Kind, placement: Placement) -> tuple[Placement, str, str]:
    """Return the placement after one node joined, left or got another weight; what it was; who."""
    there = list(placement.nodes_by_id)
    ways = ["add"] * (len(there) < len(IDS))
    ways += ["remove"] * bool(kind.leavers(placement))
    ways += ["reweight"] * (len(there) > 0 and len(kind.weights) > 1)
    way = draw(st.sampled_from(ways))
    weight = draw(st.sampled_from(kind.weights))
    if way == "add":
        node_id = draw(st.sampled_from([each for each in IDS if each not in there]))
        return placement.with_nodes(add=[Node(node_id, weight)]), way, node_id
    if way == "remove":
        node_id = draw(st.sampled_from(kind.leavers(placement)))
        return placement.with_nodes(remove=[node_id]), way, node_id
    node_id = draw(st.sampled_from(there))
    return placement.with_nodes(reweight={node_id: weight}), way, node_id


def flows(old: Placement, new: Placement) -> set[tuple[str, str]]:
    """Return who gives keys to whom."""
    if not len(old) or not len(new):
        return set()
    pairs = zip(owners_of(old, KEYS), owners_of(new, KEYS), strict=True)
    return {(from_id, to_id) for from_id, to_id in pairs if from_id != to_id}


@every_kind
@given(data=st.data())
@settings(max_examples=6)
def test_any_sequence_of_changes_keeps_what_is_promised(kind: Kind, data: st.DataObject) -> None:
    placement = kind.placement(data.draw(st.integers(1, 5)))
    for _ in range(data.draw(st.integers(1, 6))):
        old = placement
        placement, way, changed = data.draw(st.composite(one_change)(kind, placement))
        moved = flows(old, placement)
        weights = [
            each.nodes_by_id.get(changed, Node("x", 1e-9)).weight for each in (old, placement)
        ]
        if way in kind.steady and weights[0] <= weights[1]:
            assert {to_id for _, to_id in moved} <= {changed}
        if way in kind.steady and weights[0] >= weights[1]:
            assert {from_id for from_id, _ in moved} <= {changed}
        if not len(placement):
            break
    # Whatever the way there, it is written down whole, and what follows from nodes alone does.
    twin = Placement.from_json(placement.to_json())
    assert lists_of(twin, KEYS[:20]) == lists_of(placement, KEYS[:20])
    if not kind.history:
        assert placement == kind.make(placement)


def edges(placement: Placement) -> set[int]:
    """Return positions that tell a table from any other: those around each point."""
    if not isinstance(placement, TablePlacement):
        return set()
    points = {arc.end for arc in placement.arcs()} | set(placement._table.positions)
    return {(point + step) % SPACE for point in points for step in (-1, 0, 1)}


POSITIONS = {position for position in NUMBERS if isinstance(position, int)}


def differ(one: Placement, other: Placement, most: int) -> bool:
    """Return whether some preference list does, at so many of the places that could tell."""
    positions = sorted(edges(one) | edges(other) | POSITIONS)
    return any(
        ids_of(one._prefer(position)) != ids_of(other._prefer(position))
        for position in positions[:: len(positions) // most + 1]
    )


def near(draw: st.DrawFn, kind: Kind, placement: Placement) -> Placement:
    """Return a placement that is nearly the same, or the same in another guise."""
    way = draw(st.sampled_from(["change", "dress", "shift weights", "read", "there and back"]))
    if way == "change":
        return one_change(draw, kind, placement)[0]
    if way == "dress":
        return kind.make(replace(node, zone="z", address="a") for node in placement)
    if way == "shift weights" and len(kind.weights) > 1:
        factor = draw(st.sampled_from([2.0, 3.0]))
        if any(node.weight < 1 or node.weight % 1 for node in placement):
            factor = 1.0
        return kind.make(replace(node, weight=node.weight * factor) for node in placement)
    if way == "read":
        text = json.loads(placement.to_json())
        return Placement.from_json(json.dumps({**text, "epoch": 9, "fingerprint": None}))
    changed, what, node_id = one_change(draw, kind, placement)
    if what == "add" and node_id in kind.leavers(changed):
        return changed.with_nodes(remove=[node_id])
    if what == "remove":
        return changed.with_nodes(add=[placement.nodes_by_id[node_id]])
    return changed


@every_kind
@given(data=st.data())
@settings(max_examples=8)
def test_fingerprints_are_equal_if_and_only_if_all_lists_are(
    kind: Kind, data: st.DataObject
) -> None:
    one = kind.placement(data.draw(st.integers(1, 4)))
    if data.draw(st.booleans()):
        one = data.draw(st.composite(near)(kind, one))
    other = data.draw(st.composite(near)(kind, one))
    equal = one.fingerprint() == other.fingerprint()
    assert equal != differ(one, other, 100 if equal else 1 << 20)


def test_tables_that_are_alike_are_equal_whatever_made_them() -> None:
    alone = [kind.placement(1) for kind in KINDS.values() if kind.ranges]
    tables = [placement for placement in alone if placement.hash_name == "xxh64"]
    assert len({type(placement) for placement in tables}) >= 3
    assert len(set(tables)) == 1


def histories(most: int) -> list[Memento]:
    """Return what all histories of so many steps over three nodes lead to."""
    found = [Memento(Node(node_id) for node_id in IDS[:3])]
    for placement in found:
        if placement.epoch < most:
            found += [placement.with_nodes(remove=[each]) for each in placement.nodes_by_id]
            missing = [each for each in IDS[:4] if each not in placement]
            found += [placement.with_nodes(add=[Node(each)]) for each in missing[:1]]
    return found


def test_fingerprints_tell_histories_apart_where_they_place_differently() -> None:
    by_fingerprint: dict[str, set[str]] = {}
    for placement in histories(4):
        lists = str([ids_of(placement._prefer(position)) for position in sorted(POSITIONS)[:90]])
        by_fingerprint.setdefault(placement.fingerprint(), set()).add(lists)
    assert all(len(lists) == 1 for lists in by_fingerprint.values())
    assert len(set.union(*by_fingerprint.values())) == len(by_fingerprint) > 30


def test_every_order_of_buckets_is_another_placement() -> None:
    nodes = [Node(node_id) for node_id in IDS[:4]]
    made = [Jump(nodes, buckets=order) for order in permutations(IDS[:4])]
    assert len({each.fingerprint() for each in made}) == len(made) == 24
    assert len({str(lists_of(each, NUMBERS)) for each in made}) == 24


@given(
    st.lists(st.integers(1, 4000), min_size=1, max_size=5),
    st.lists(st.integers(1, 4000), min_size=1, max_size=5),
    st.integers(1, 200),
)
@settings(max_examples=60)
def test_weights_are_equal_where_their_proportions_are(
    one: list[int], other: list[int], factor: int
) -> None:
    def of(thousandths: list[int]) -> Rendezvous:
        return Rendezvous(
            Node(node_id, each / 1000) for node_id, each in zip(IDS, thousandths, strict=False)
        )

    assert of(one) == of([each * factor for each in one])
    assert lists_of(of(one), KEYS[:9]) == lists_of(of([each * factor for each in one]), KEYS[:9])
    same = len(one) == len(other) and all(a * other[0] == b * one[0] for a, b in zip(one, other))  # noqa: B905
    assert (of(one) == of(other)) == same


@kinds(lambda kind: len(kind.weights) == 1)
def test_a_common_weight_may_change_for_all_at_once(kind: Kind) -> None:
    placement = kind.placement(3)
    try:
        heavier = placement.with_nodes(reweight=dict.fromkeys(IDS[:3], 2.0))
    except UsageError as error:
        # Libraries that know no weights know no common one either.
        refused = "weight" in str(error)
        assert refused
        return
    assert heavier == placement
    assert lists_of(heavier, KEYS) == lists_of(placement, KEYS)


def shares_fit(weights: dict[str, float], keys: int) -> None:
    placement = Rendezvous(Node(node_id, weight) for node_id, weight in weights.items())
    total = sum(weights.values())
    places = placement.index_many(range(keys))
    for place, node in enumerate(placement):
        expected = keys * node.weight / total
        # Five standard deviations: once in some two million nodes.
        assert abs(places.count(place) - expected) <= 5 * max(1.0, expected) ** 0.5, node


def test_weights_of_rendezvous_are_kept_within_sampling_error() -> None:
    shares_fit({"a": 1.0, "b": 0.001, "c": 2.5, "d": 1e-6, "e": 0.05}, 15_000)
    shares_fit({"a": 1.0, "b": 1.0, "c": 1.0}, 6_000)


@pytest.mark.slow
def test_weights_of_rendezvous_are_kept_over_many_keys() -> None:
    shares_fit({"a": 1.0, "b": 0.001, "c": 2.5, "d": 0.01, "e": 0.05}, 1_000_000)
    shares_fit({f"n{number}": 0.001 * 1.3**number for number in range(40)}, 200_000)
