"""The golden vectors of all algorithms: placement is never changed by accident."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from concordant.placement import (
    Jump,
    Maglev,
    Memento,
    ModuloRing,
    Node,
    Placement,
    Rendezvous,
    Slots,
)
from concordant.placement.functions.rendezvous_lookup import log_table
from concordant.placement.placement_json import ALGORITHMS
from tests.placement_kinds import KINDS

DATA = Path(__file__).parent.parent / "data"
GOLDEN = json.loads((DATA / "placement_vectors.json").read_text("utf-8"))
Vector = dict[str, Any]

MADE: dict[str, Callable[[list[Node], Vector], Placement]] = {
    "rendezvous": lambda nodes, _: Rendezvous(nodes),
    "maglev": lambda nodes, vector: Maglev(nodes, vector["state"]["size"]),
    "modulo-ring": lambda nodes, vector: ModuloRing(nodes, **vector["state"]),
    "jump": lambda nodes, vector: Jump(nodes, buckets=vector["state"]["buckets"]),
    "memento": lambda nodes, vector: removed_and_added(nodes, vector["changes"]),
    "slots": lambda nodes, vector: reassigned(nodes, vector),
}


def removed_and_added(nodes: list[Node], changes: list[str]) -> Placement:
    placement = Memento(nodes)
    for change in changes:
        if change[0] == "+":
            placement = placement.with_nodes(add=[Node(change[1:])])
        else:
            placement = placement.with_nodes(remove=[change[1:]])
    return placement


def reassigned(nodes: list[Node], vector: Vector) -> Placement:
    state = vector["state"]
    placement = Slots(nodes, state["slots"], pins=dict(state["pins"]))
    for weights in vector["changes"]:
        there = placement.nodes_by_id
        placement = placement.with_nodes(
            add=[Node(*pair) for pair in weights.items() if pair[0] not in there],
            remove=there.keys() - weights.keys(),
            reweight={node_id: weights[node_id] for node_id in there.keys() & weights.keys()},
        )
    return placement


@pytest.mark.parametrize(
    "vector", GOLDEN["vectors"], ids=lambda vector: f"{vector['algorithm']}: {vector['name']}"
)
def test_placements_are_those_of_the_formats(vector: Vector) -> None:
    nodes = [Node(*pair) for pair in vector["nodes"].items()]
    placement = MADE[vector["algorithm"]](nodes, vector)
    assert placement.algorithm == vector["algorithm"]
    order = list(placement)
    place = {node.id: at for at, node in enumerate(order)}
    for key, expected in zip(GOLDEN["keys"], vector["lists"], strict=True):
        assert [place[node.id] for node in placement.nodes(key, len(order))] == expected, key
        assert place[placement.node(key).id] == expected[0], key
    assert list(placement.index_many(GOLDEN["keys"])) == [each[0] for each in vector["lists"]]
    if "owners" in vector:
        assert list(placement._state().get("owners", vector["owners"])) == vector["owners"]
    for name in ("buckets", "removed"):
        if name in vector["state"]:
            assert placement._state()[name] == vector["state"][name]
    assert placement.fingerprint() == vector["fingerprint"]


def test_the_logarithms_are_exact() -> None:
    table = "".join(f"{log}\n" for log in log_table())
    assert sha256(table.encode()).hexdigest() == GOLDEN["log_table"]


def test_every_algorithm_of_our_own_has_vectors() -> None:
    have = {vector["algorithm"] for vector in GOLDEN["vectors"]}
    have |= {"ring"} if (DATA / "ring_vectors.json").exists() else set()
    others = {name for name, (module, _) in ALGORITHMS.items() if ".compat." in module}
    # IntJump is Jump without a hash, and is held to what other packages answer.
    assert have == set(ALGORITHMS) - others - {"int-jump"}
    assert set(ALGORITHMS) == {name.partition("/")[0] for name in KINDS}
    assert sum(len(vector["lists"]) for vector in GOLDEN["vectors"]) >= 700
