"""What a node may be."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import Node
from concordant.placement.nodes import relative_weights


def test_defaults() -> None:
    node = Node("a")
    assert (node.id, node.weight, node.zone, node.address) == ("a", 1.0, None, None)


def test_a_node_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Node("a").weight = 2.0  # type: ignore[misc]


def test_an_int_weight_becomes_a_float() -> None:
    assert isinstance(Node("a", 3).weight, float)
    assert Node("a", 3) == Node("a", 3.0)


def test_nodes_survive_pickle_and_copy() -> None:
    node = Node("a", 2.5, "eu-1", "10.0.0.1:5432")
    assert pickle.loads(pickle.dumps(node)) == node == copy.deepcopy(node)


def test_the_repr_keeps_the_address_to_itself() -> None:
    assert "hunter2" not in repr(Node("a", address="postgresql://bank:hunter2@db/x"))


@pytest.mark.parametrize("node_id", ["a", "é" * 127 + "x", "x" * 255, "a b\n", "🟢"])
def test_good_ids(node_id: str) -> None:
    assert Node(node_id).id == node_id


@pytest.mark.parametrize("node_id", ["", "x" * 256, "é" * 128, "a\0b", "a\udc80", None, b"a", 7])
def test_bad_ids(node_id: Any) -> None:
    with pytest.raises(UsageError, match="id"):
        Node(node_id)


@pytest.mark.parametrize("weight", [1e-300, 0.5, 1, 6000.0])
def test_good_weights(weight: float) -> None:
    assert Node("a", weight).weight == weight


@pytest.mark.parametrize(
    "weight", [0, -1, 0.0, float("nan"), float("inf"), float("-inf"), 10**400, True, "1", None]
)
def test_bad_weights(weight: Any) -> None:
    with pytest.raises(UsageError, match="weight of node 'a'"):
        Node("a", weight)


@pytest.mark.parametrize("text", ["", 7, b"eu", "\ud800"])
@pytest.mark.parametrize("name", ["zone", "address"])
def test_bad_zones_and_addresses(name: str, text: Any) -> None:
    with pytest.raises(UsageError, match=f"{name} of node 'a'"):
        Node("a", **{name: text})


@pytest.mark.parametrize("scale", [1.0, 2.0**-1000, 2.0**1000])
def test_relative_weights_are_in_the_same_proportions(scale: float) -> None:
    weights = relative_weights(Node(f"{each}", each * scale) for each in (1.0, 3.0, 0.1))
    assert weights == [0.25, 0.75, 0.025]


def test_relative_weights_of_extremes() -> None:
    assert relative_weights([]) == []
    assert relative_weights([Node("a", 5e-324), Node("b", 1.7e308)]) == [0.0, 1.7e308 / 2**1023 / 2]
    assert relative_weights([Node("a", 5e-324)]) == [0.5]
