"""uhashring's two modes, against answers of the real package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import Node
from concordant.placement.compat import LibmemcachedKetama, UhashringKetama, UhashringMd5

GOLDEN = json.loads(
    (Path(__file__).parent.parent / "data" / "golden_uhashring.json").read_text("utf-8")
)
KEYS: list[str] = GOLDEN["keys"]
RINGS = {f"{ring['mode']}, {ring['name']}": ring for ring in GOLDEN["rings"]}
MODES = {"ketama": UhashringKetama, "md5": UhashringMd5}


def placement_of(golden: dict[str, Any]) -> UhashringKetama | UhashringMd5:
    nodes = [Node(name, weight) for name, weight in golden["nodes"].items()]
    return MODES[golden["mode"]](nodes, order=list(golden["nodes"]), **golden["settings"])


@pytest.mark.parametrize("name", RINGS)
def test_owners_are_those_of_the_package(name: str) -> None:
    golden = RINGS[name]
    ids = list(golden["nodes"])
    placement = placement_of(golden)
    owners = [ids[number] for number in golden["owners"]]
    assert [placement.node(key).id for key in KEYS] == owners
    assert [node.id for node in placement.node_many(KEYS)] == owners


@pytest.mark.parametrize("name", RINGS)
def test_preference_lists_are_those_of_the_package(name: str) -> None:
    golden = RINGS[name]
    ids = list(golden["nodes"])
    placement = placement_of(golden)
    assert golden["preferences"]
    for key, numbers in golden["preferences"].items():
        found = [node.id for node in placement.nodes(key, len(placement))]
        assert found[: len(numbers)] == [ids[number] for number in numbers]
        assert sorted(found) == sorted(ids)


def test_the_vectors_are_not_empty() -> None:
    assert len(KEYS) >= 200
    assert len(RINGS) == len(GOLDEN["rings"]) >= 18


def test_keys_that_are_the_name_of_a_point_are_among_them() -> None:
    # uhashring gives such a key to the next point, where others give it to the point.
    assert "a-0" in KEYS
    assert "a" in RINGS["md5, weights"]["nodes"]


def test_text_is_its_bytes_and_a_number_its_digits() -> None:
    placement = UhashringKetama([Node(name) for name in "abc"])
    for number in range(100):
        text = f"{number}"
        assert placement.node(text) is placement.node(text.encode()) is placement.node(number)


@pytest.mark.parametrize("kind", MODES.values())
def test_a_tie_is_won_by_the_later_node(kind: Any) -> None:
    nodes = [Node(name) for name in "ab"]
    assert kind(nodes) == kind(nodes[::-1]) == kind(nodes, order=["b", "a"])
    tied, turned = RINGS["ketama, tied"], RINGS["ketama, tied, the other way round"]
    moved = [
        key
        for key, one, other in zip(KEYS, tied["owners"], turned["owners"], strict=True)
        if one == other == 1
    ]
    assert len([key for key in moved if key.startswith("tied-")]) == 3


@pytest.mark.parametrize("kind", MODES.values())
@pytest.mark.parametrize("weight", [0.5, 1.5, 2.0**60])
def test_weights_are_whole_numbers(kind: Any, weight: float) -> None:
    with pytest.raises(UsageError, match="whole number"):
        kind([Node("a", weight), Node("b")])


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (UhashringKetama, {"vnodes": 0}),
        (UhashringKetama, {"vnodes": 1.0}),
        (UhashringKetama, {"replicas": 0}),
        (UhashringKetama, {"replicas": 5}),
        (UhashringMd5, {"vnodes": 0}),
        (UhashringMd5, {"order": "a"}),
        (UhashringMd5, {"order": ["a", "a"]}),
        (UhashringMd5, {"order": [1, 2]}),
    ],
)
def test_settings_that_make_no_sense(kind: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        kind([Node("a"), Node("b")], **settings)


def test_points_out_of_scale_are_refused_before_they_take_the_memory() -> None:
    with pytest.raises(UsageError, match="points"):
        UhashringMd5([Node("a", 1e9)])
    with pytest.raises(UsageError, match="points"):
        UhashringKetama([Node("a"), Node("b")], vnodes=1_000_000)


def test_ketama_of_both_libraries_differs_on_points_and_weights_alone() -> None:
    """Same names, same weights: uhashring's points are libmemcached's, weighted."""
    hosts = [f"10.0.0.{number}" for number in range(1, 4)]
    ours = UhashringKetama([Node(host) for host in hosts])
    theirs = LibmemcachedKetama([Node(f"{host}:11211") for host in hosts])
    for number in range(500):
        assert theirs.node(f"key-{number}").id == f"{ours.node(f'key-{number}').id}:11211"
