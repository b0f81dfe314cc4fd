"""Slots by example."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import Node, Slots
from concordant.placement.tables.slots import MAX_SLOTS
from tests.placement_oracle import SPACE, key_at

THREE = [Node("a"), Node("b"), Node("c")]


def text_of(placement: Slots, **changes: Any) -> str:
    return json.dumps({**json.loads(placement.to_json()), "fingerprint": None, **changes})


def test_a_slot_is_a_part_of_the_hash_space() -> None:
    placement = Slots(THREE, 7)
    for slot in range(7):
        start, end = -(-(slot << 64) // 7), -(-((slot + 1) << 64) // 7)
        for position in (start, end - 1):
            assert placement.slot(key_at(position)) == slot
            assert placement.node(key_at(position)).id == placement.owners[slot]
    assert (placement.slot(key_at(0)), placement.slot(key_at(SPACE - 1))) == (0, 6)
    assert sum(arc.end - arc.start for arc in placement.arcs()) == SPACE


@pytest.mark.parametrize("slots", [0, -1, MAX_SLOTS + 1, True, 2.0, "7", None])
def test_an_impossible_number_of_slots_is_refused(slots: Any) -> None:
    with pytest.raises(UsageError, match="slots must be"):
        Slots(THREE, slots)


def test_more_nodes_than_slots_are_refused() -> None:
    assert sorted(Slots(THREE, 3).owners) == ["a", "b", "c"]
    with pytest.raises(UsageError, match="cannot share 2 slots"):
        Slots(THREE, 2)
    with pytest.raises(UsageError, match="cannot share 3 slots"):
        Slots(THREE, 3).with_nodes(add=[Node("d")])


def test_shares_are_those_of_the_weights_however_heavy_or_light() -> None:
    nodes = [Node("heavy", 1_000_000), Node("light", 0.000001), Node("middle", 500_000)]
    loads = Counter(Slots(nodes, 301).owners)
    assert loads == {"heavy": 200, "middle": 100, "light": 1}
    with pytest.raises(UsageError, match="scale all weights down"):
        Slots([Node("a", 1_000_001)])


@pytest.mark.parametrize(
    "pins",
    [
        {7: "a"},
        {-1: "a"},
        {"0": "a"},
        {True: "a"},
        {0: "x"},
        {0: None},
        {0: ["a"]},
        {0: Node("a")},
        [(0, "a")],
        "a",
        # Nothing would be left for b and c.
        dict.fromkeys(range(6), "a"),
    ],
)
def test_pins_that_make_no_sense_are_refused(pins: Any) -> None:
    with pytest.raises(UsageError):
        Slots(THREE, 7, pins=pins)
    with pytest.raises(UsageError):
        Slots(THREE, 7).with_pins(pins)


def test_pins_hold_until_they_are_changed() -> None:
    placement = Slots(THREE, 12, pins={11: "b", 0: "b", 5: "b", 6: "b", 7: "b", 8: "b"})
    # Pins beyond the fair share of four are all that b has.
    assert Counter(placement.owners) == {"a": 3, "b": 6, "c": 3}
    grown = placement.with_nodes(add=[Node("d")])
    assert dict(grown.pins) == dict(placement.pins)
    assert list(grown.pins) == sorted(grown.pins)
    assert all(grown.owners[slot] == "b" for slot in grown.pins)
    moved = grown.with_pins({0: "c"})
    assert (moved.epoch, moved.owners[0], dict(moved.pins)) == (2, "c", {0: "c"})
    assert set(Counter(moved.owners).values()) == {3}
    with pytest.raises(TypeError):
        moved.pins[1] = "a"  # type: ignore[index]


def test_a_node_with_pins_stays_or_is_replaced() -> None:
    placement = Slots(THREE, 12, pins={3: "b"})
    with pytest.raises(UsageError, match="with_pins first"):
        placement.with_nodes(remove=["b"])
    moved = placement.with_nodes(remove=["b"], add=[Node("b", address="10.0.0.2")])
    assert moved.owners == placement.owners
    assert moved.node("k") in list(moved)


def test_epochs_of_pins_end_too() -> None:
    with pytest.raises(UsageError, match="epoch"):
        Slots(THREE, 7, epoch=2**53 - 1).with_pins({})


def test_an_assignment_from_elsewhere_is_taken_as_it_is() -> None:
    owners = ["c", "a", "a", "a", "b", "a"]
    placement = Slots.assigned(THREE, owners, epoch=4)
    assert (placement.owners, placement.slots, placement.epoch) == (owners, 6, 4)
    assert Counter(placement.with_nodes().owners) == {"a": 2, "b": 2, "c": 2}
    with pytest.raises(UsageError, match="'x', which is none"):
        Slots.assigned(THREE, ["x", *owners])
    with pytest.raises(UsageError, match="'b' owns no slot"):
        Slots.assigned(THREE, ["a", "c"] * 4)
    with pytest.raises(UsageError):
        Slots.assigned(THREE, [])


def test_slots_may_be_written_by_hand() -> None:
    head = {"format": "concordant-placement/1", "algorithm": "slots", "slots": 9}
    nodes = [{"id": "b"}, {"id": "a", "weight": 2}]
    read = Slots.from_json(json.dumps({**head, "nodes": nodes}))
    assert read == Slots([Node("a", 2.0), Node("b")], 9)
    pinned = Slots.from_json(json.dumps({**head, "nodes": nodes, "pins": [[4, "b"]]}))
    assert pinned.owners[4] == "b"
    without = {name: each for name, each in head.items() if name != "slots"}
    assert Slots.from_json(json.dumps({**without, "nodes": nodes})).slots == 65536


PLACED = Slots(THREE, 4, pins={2: "b"})


@pytest.mark.parametrize(
    "changes",
    [
        {"owners": [0, 0, 0, 0]},
        {"owners": [0, 1, 1]},
        {"owners": [0, 1, 2, 0]},  # the pinned slot is another's
        {"owners": [0, 1, 1, 3]},
        {"owners": [0, 1, 1, -1]},
        {"owners": [0, 2, 1, True]},
        {"owners": ["a", "c", "b", "a"]},
        {"owners": {}},
        {"slots": 5},
        {"slots": 4.0},
        {"pins": [[2, "b"], [2, "b"]]},
        {"pins": [["2", "b"]]},
        {"pins": [[2, 1]]},
        {"pins": [[2, "b", 0]]},
        {"pins": {"2": "b"}},
        {"pins": None},
        {"nodes": []},
    ],
)
def test_texts_that_are_no_slots_are_refused(changes: dict[str, Any]) -> None:
    assert Slots.from_json(text_of(PLACED)) == PLACED
    with pytest.raises(UsageError):
        Slots.from_json(text_of(PLACED, **changes))


def test_the_way_to_the_same_nodes_may_show() -> None:
    there = Slots(THREE, 64).with_nodes(remove=["a"]).with_nodes(add=[Node("a")])
    assert [node.id for node in there] == ["a", "b", "c"]
    assert there != Slots(THREE, 64)
    assert Slots.from_json(there.to_json()) == there
