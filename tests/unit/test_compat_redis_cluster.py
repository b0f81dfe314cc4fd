"""Redis Cluster's slots, against answers of a real server, and who serves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import Node
from concordant.placement.compat import RedisCluster
from concordant.placement.compat.redis_cluster import SLOTS, key_slot

GOLDEN = json.loads(
    (Path(__file__).parent.parent / "data" / "golden_redis_cluster.json").read_text("utf-8")
)
THIRDS: dict[str, Any] = {"a": [(0, 5460)], "b": [(5461, 10922)], "c": [(10923, 16383)]}
NODES = [Node("a"), Node("b"), Node("c")]


def test_slots_are_those_of_the_server() -> None:
    assert len(GOLDEN["slots"]) >= 600
    for vector in GOLDEN["slots"]:
        assert key_slot(bytes.fromhex(vector["key"])) == vector["slot"], vector


def test_a_key_belongs_to_the_node_that_serves_its_slot() -> None:
    cluster = RedisCluster(NODES, THIRDS)
    for vector in GOLDEN["slots"]:
        key, slot = bytes.fromhex(vector["key"]), vector["slot"]
        owner = "a" if slot <= 5460 else "b" if slot <= 10922 else "c"
        assert cluster.slot(key) == slot
        assert cluster.node(key).id == owner


def test_keys_of_one_tag_stay_together() -> None:
    cluster = RedisCluster(NODES, THIRDS)
    owners = {cluster.node(f"{{user:1}}:{number}").id for number in range(100)}
    assert len(owners) == 1
    assert cluster.slot("user:1") == cluster.slot("x{user:1}y{z}")


def test_single_slots_and_scattered_ranges() -> None:
    cluster = RedisCluster(NODES[:2], {"a": [0, 2, (4, 9)], "b": [1, 3, (10, 16383)]})
    assert cluster.slots == {
        "a": [(0, 0), (2, 2), (4, 9)],
        "b": [(1, 1), (3, 3), (10, 16383)],
    }
    by_slot = {cluster.slot(number): cluster.node(number).id for number in range(200_000)}
    assert [by_slot[slot] for slot in range(12)] == [*"ababaaaaaabb"]


def test_slots_move_when_they_are_told_to() -> None:
    cluster = RedisCluster(NODES, THIRDS)
    grown = cluster.with_nodes(add=[Node("d")])
    assert [grown.node(key) for key in range(500)] == [cluster.node(key) for key in range(500)]
    moved = grown.with_slots({"d": [(0, 99), 16383]})
    assert moved.slots["d"] == [(0, 99), (16383, 16383)]
    assert moved.slots["a"] == [(100, 5460)]
    assert (cluster.epoch, grown.epoch, moved.epoch) == (0, 1, 2)
    changed = {cluster.slot(key) for key in range(100_000) if cluster.node(key) != moved.node(key)}
    assert changed <= {*range(100), 16383}
    assert len(changed) > 95
    emptied = moved.with_slots({"a": [*range(100), 16383]})
    assert emptied.with_nodes(remove=["d"]).with_slots({"c": [16383]}) == (
        cluster.with_slots({"a": [(0, 99)]})
    )


def test_a_node_without_slots_comes_last() -> None:
    cluster = RedisCluster([*NODES, Node("0")], THIRDS)
    for key in range(50):
        found = [node.id for node in cluster.nodes(key, 4)]
        assert found[3] == "0"
        assert found[0] == cluster.node(key).id
    assert cluster != RedisCluster(NODES, THIRDS)
    assert cluster.slots["0"] == []


@pytest.mark.parametrize(
    ("nodes", "slots", "match"),
    [
        ("abc", {}, "16384 slots have no node"),
        ("abc", {**THIRDS, "c": [(10923, 16382)]}, "the first of them is 16383"),
        ("abc", {**THIRDS, "c": [(10922, 16383)]}, "10922"),
        ("ab", THIRDS, "not among the nodes"),
        ("abc", {**THIRDS, "a": [(0, 5460), 16384]}, "0 to 16383"),
        ("abc", {**THIRDS, "a": [(5460, 0)]}, "last slot"),
        ("abc", {**THIRDS, "a": [(0, 1, 2)]}, "first, last"),
        ("abc", {**THIRDS, "a": "0-5460"}, "list of slots"),
        ("abc", {**THIRDS, "a": 5}, "list of slots"),
        ("abc", {**THIRDS, "a": [True]}, "slot of node"),
        ("abc", [(0, 16383)], "by node id"),
    ],
)
def test_assignments_that_make_no_sense(nodes: str, slots: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        RedisCluster([Node(node_id) for node_id in nodes], slots)


def test_a_node_that_serves_slots_cannot_leave() -> None:
    with pytest.raises(UsageError, match="serves slots"):
        RedisCluster(NODES, THIRDS).with_nodes(remove=["b"])


def test_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="no weights"):
        RedisCluster([Node("a", 2.0)], {"a": [(0, SLOTS - 1)]})


def test_an_empty_cluster_exists() -> None:
    assert len(RedisCluster()) == 0
    with pytest.raises(UsageError, match="add a node"):
        RedisCluster().node("k")
