"""What moves when the nodes of a placement change, whatever its algorithm."""

from __future__ import annotations

from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import Node, Placement
from concordant.placement.base import MAX_EPOCH
from tests.placement_kinds import (
    IDS,
    NUMBERS,
    Kind,
    every_kind,
    kinds,
    lists_of,
    owners_of,
    readdressed,
)

NEW = "h7:11211"


def without(lists: list[list[str]], node_id: str) -> list[list[str]]:
    return [[each for each in preference if each != node_id] for preference in lists]


def grown(kind: Kind, placement: Placement, weight: float | None = None) -> Placement:
    return placement.with_nodes(add=[Node(NEW, kind.weights[-1] if weight is None else weight)])


@every_kind
def test_a_change_counts_an_epoch_and_leaves_the_old_placement_alone(kind: Kind) -> None:
    old = kind.placement(5)
    before = old.to_json(), lists_of(old, kind.keys)
    new = grown(kind, old)
    assert (old.epoch, new.epoch, new.with_nodes().epoch) == (0, 1, 2)
    assert type(new) is type(old)
    assert NEW in new
    assert NEW not in old
    assert list(new.nodes_by_id) == sorted([*IDS[:5], NEW])
    assert (old.to_json(), lists_of(old, kind.keys)) == before
    assert lists_of(new.with_nodes(), kind.keys) == lists_of(new, kind.keys)
    assert new.with_nodes() == new


@every_kind
def test_epochs_end_where_json_would_round_them(kind: Kind) -> None:
    text = kind.placement(3).to_json().replace('"epoch": 0', f'"epoch": {MAX_EPOCH}')
    last = Placement.from_json(text)
    assert last.epoch == MAX_EPOCH
    with pytest.raises(UsageError, match="epoch"):
        last.with_nodes()


@kinds(lambda kind: "add" in kind.steady)
def test_a_node_that_joins_takes_keys_and_nothing_else_moves(kind: Kind) -> None:
    for count in (1, 2, 5):
        old = kind.placement(count)
        for weight in kind.weights:
            new = grown(kind, old, weight)
            moved = {
                to_id
                for from_id, to_id in zip(
                    owners_of(old, NUMBERS), owners_of(new, NUMBERS), strict=True
                )
                if from_id != to_id
            }
            assert moved <= {NEW}
            # So little that none of these keys need be among it is left out.
            assert moved or not kind.fills or weight < 1


@kinds(lambda kind: "remove" in kind.steady)
def test_a_node_that_leaves_gives_its_keys_away_and_nothing_else_moves(kind: Kind) -> None:
    for count in (2, 3, 6):
        old = kind.placement(count)
        for gone in kind.leavers(old):
            new = old.with_nodes(remove=[gone])
            assert gone not in new
            for from_id, to_id in zip(
                owners_of(old, NUMBERS), owners_of(new, NUMBERS), strict=True
            ):
                assert to_id == from_id or from_id == gone
                assert to_id != gone


@kinds(lambda kind: "reweight" in kind.steady)
def test_weights_move_keys_toward_or_from_the_changed_node_alone(kind: Kind) -> None:
    old = kind.placement(7)
    before = owners_of(old, NUMBERS)
    for changed in IDS:
        for weight in kind.weights:
            new = old.with_nodes(reweight={changed: weight})
            assert new.nodes_by_id[changed].weight == weight
            flows = {
                flow
                for flow in zip(before, owners_of(new, NUMBERS), strict=True)
                if len({*flow}) > 1
            }
            if weight >= old.nodes_by_id[changed].weight:
                assert {to_id for _, to_id in flows} <= {changed}
            else:
                assert {from_id for from_id, _ in flows} <= {changed}


@kinds(lambda kind: kind.steady_lists)
def test_the_order_of_the_others_never_changes(kind: Kind) -> None:
    old = kind.placement(6)
    lists = lists_of(old, NUMBERS)
    assert without(lists_of(grown(kind, old), NUMBERS), NEW) == lists
    for changed in IDS[:6]:
        left = without(lists, changed)
        assert lists_of(old.with_nodes(remove=[changed]), NUMBERS) == left
        for weight in kind.weights if "reweight" in kind.steady else ():
            reweighted = old.with_nodes(reweight={changed: weight})
            assert without(lists_of(reweighted, NUMBERS), changed) == left


@kinds(lambda kind: not kind.history)
def test_a_changed_placement_is_the_one_made_of_the_same_nodes(kind: Kind) -> None:
    old = kind.placement(5)
    weight = kind.weights[-1]
    alike = len(kind.weights) == 1
    new = old.with_nodes(
        add=[Node(NEW, weight), Node("a:1", weight)],
        remove=[IDS[1], IDS[3]],
        reweight={} if alike else {IDS[0]: weight},
    )
    assert new == kind.make(new)
    assert lists_of(new, kind.keys) == lists_of(kind.make(new), kind.keys)
    # A second change finds what the first one left behind.
    back = new.with_nodes(remove=list(new.nodes_by_id), add=list(old))
    assert back == old
    assert list(back) == list(old)
    assert lists_of(back, kind.keys) == lists_of(old, kind.keys)


@kinds(lambda kind: kind.fills)
def test_a_node_that_came_back_lighter_is_as_light_as_it_says(kind: Kind) -> None:
    heavy, light = max(kind.weights), min(kind.weights)
    first = kind.make([Node(IDS[0], light), Node(IDS[1], light)])
    heavier = first.with_nodes(add=[Node(NEW, heavy)])
    gone = heavier.with_nodes(remove=[NEW])
    again = gone.with_nodes(add=[Node(NEW, light)])
    assert NEW not in owners_of(gone, NUMBERS)
    if not kind.history:
        assert gone == first
        assert again == first.with_nodes(add=[Node(NEW, light)])
    else:
        assert 100 <= owners_of(again, NUMBERS).count(NEW) <= 167
    assert NEW not in owners_of(again.with_nodes(remove=[NEW]), NUMBERS)


@every_kind
def test_removing_and_adding_one_id_replaces_its_node(kind: Kind) -> None:
    old = kind.placement(5)
    for node_id in old.nodes_by_id:
        node = readdressed(old.nodes_by_id[node_id])
        new = old.with_nodes(remove=[node_id], add=[node])
        assert new == old
        assert new.epoch == 1
        assert new.nodes_by_id[node_id] is node
        assert lists_of(new, kind.keys) == lists_of(old, kind.keys)
        found = {each.id: each for each in new.node_many(kind.keys)}
        assert found.get(node_id, node) is node


@kinds(lambda kind: kind.leavers(kind.placement(4)) == list(kind.placement(4).nodes_by_id))
def test_all_may_leave_and_others_come(kind: Kind) -> None:
    empty = kind.placement(4).with_nodes(remove=IDS[:4])
    assert len(empty) == 0
    with pytest.raises(UsageError):
        empty.node(kind.keys[0])
    filled = empty.with_nodes(add=[Node(NEW), Node("a:1")])
    assert set(owners_of(filled, NUMBERS)) == {NEW, "a:1"}
    assert filled == kind.make(filled)


@kinds(lambda kind: kind.leavers(kind.placement(5)) != list(kind.placement(5).nodes_by_id))
def test_who_may_not_leave_is_kept(kind: Kind) -> None:
    placement = kind.placement(5)
    staying = set(placement.nodes_by_id) - set(kind.leavers(placement))
    assert staying
    for node_id in staying:
        with pytest.raises(UsageError, match=node_id):
            placement.with_nodes(remove=[node_id])


@every_kind
def test_changes_that_make_no_sense_are_refused(kind: Kind) -> None:
    changes: list[dict[str, Any]] = [
        {"add": [Node(IDS[0])]},
        {"add": [Node(NEW), Node(NEW)]},
        {"add": ["a"]},
        {"remove": [NEW]},
        {"remove": [IDS[0], IDS[0]]},
        {"remove": IDS[0]},
        {"remove": [Node(NEW)]},
        {"reweight": {NEW: 1.0}},
        {"reweight": {IDS[0]: 0.0}},
        {"reweight": {IDS[0]: float("nan")}},
        {"remove": [IDS[0]], "reweight": {IDS[0]: 2.0}},
        {"add": [Node(NEW)], "reweight": {NEW: 1.0}},
    ]
    placement = kind.placement(3)
    before = placement.to_json()
    for change in changes:
        with pytest.raises(UsageError):
            placement.with_nodes(**change)
    assert placement.to_json() == before
