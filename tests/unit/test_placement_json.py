"""Texts of placements that were written by hand, or by somebody who meant something else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import Node, Placement, Plan, Rendezvous
from concordant.placement.placement_json import ALGORITHMS, FORMAT, RING_FORMAT
from tests.placement_kinds import KINDS

SECRET = "postgresql://bank:hunter2@db/x"
NODES = [{"id": "b:1", "weight": 1}, {"id": "a:1"}]
BY_NODES_ALONE = sorted(set(ALGORITHMS) - {"redis-cluster"})


@pytest.mark.parametrize("algorithm", BY_NODES_ALONE)
def test_nodes_alone_are_a_placement_with_the_usual_settings(algorithm: str) -> None:
    head = {"format": RING_FORMAT if algorithm == "ring" else FORMAT, "nodes": NODES}
    if algorithm != "ring":
        head["algorithm"] = algorithm
    kind = KINDS[algorithm]
    usual: Any = type(kind.placement(0))([Node("a:1"), Node("b:1")])
    if usual.hash_name != "xxh64":
        head["hash"] = usual.hash_name
    read = Placement.from_json(json.dumps(head))
    assert read == usual
    assert (read.epoch, list(read)) == (0, [Node("a:1"), Node("b:1")])


@pytest.mark.parametrize(
    "told",
    [
        {"format": "concordant-placement/2", "algorithm": "jump"},
        {"format": FORMAT},
        {"format": FORMAT, "algorithm": "ring"},
        {"format": RING_FORMAT, "algorithm": "ring"},
        {"format": RING_FORMAT, "algorithm": "jump"},
        {"format": FORMAT, "algorithm": "Jump"},
        {"format": FORMAT, "algorithm": ["jump"]},
        {"format": [FORMAT], "algorithm": "jump"},
        {"format": FORMAT, "algorithm": "jump", "points": 160},
        {"format": FORMAT, "algorithm": "jump", "hash": "md5"},
        {"format": FORMAT, "algorithm": "jump", "hash": None},
        {"format": FORMAT, "algorithm": "libmemcached-ketama", "hash": ["ketama-md5"]},
        {"format": FORMAT, "algorithm": "jump", "nodes": None},
        {"format": FORMAT, "algorithm": "jump", "nodes": {"id": "a"}},
        {"format": FORMAT, "algorithm": "jump", "nodes": [{"id": "a", "wieght": 1}]},
        {"format": FORMAT, "algorithm": "jump", "nodes": [{"weight": 1}]},
        {"format": FORMAT, "algorithm": "jump", "nodes": [{"id": "a\ud800"}]},
        {"format": FORMAT, "algorithm": "jump", "epoch": 2**53},
        {"format": FORMAT, "algorithm": "jump", "epoch": "0"},
    ],
)
def test_other_texts_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Placement.from_json(json.dumps({"nodes": NODES, **told}))


@pytest.mark.parametrize("wrong", [{"weight": 0}, {"zone": ""}, {"colour": 1}, {"id": ""}])
def test_refusals_do_not_show_addresses(wrong: dict[str, Any]) -> None:
    told = json.loads(Rendezvous([Node("a", address=SECRET)]).to_json())
    told["nodes"][0].update(wrong)
    with pytest.raises(UsageError) as caught:
        Placement.from_json(json.dumps(told))
    assert "hunter2" not in str(caught.value)


def test_names_beyond_ascii_are_written_and_read() -> None:
    placement = Rendezvous([Node("ö\n\"'", zone="zöne", address="ä"), Node("🟢")])
    assert placement.to_json().isascii()
    assert list(Placement.from_json(placement.to_json())) == list(placement)


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "7", '"a"', "{}", "[" * 100_000, '{"format": 1e999, "nodes": []}'],
)
def test_what_is_no_object_is_neither_placement_nor_plan(text: str) -> None:
    for read in (Placement.from_json, Plan.from_json):
        with pytest.raises(UsageError):
            read(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"format": "concordant-ring/1", "nodes": [{"id": "a", "weight": 5, "weight": 1}]}',
        '{"format": "concordant-ring/1", "nodes": [], "weight": 1, "weight": 1}',
    ],
)
def test_a_field_that_is_there_twice_is_refused(text: str) -> None:
    for read in (Placement.from_json, Plan.from_json):
        with pytest.raises(UsageError, match="field 'weight' twice"):
            read(text)


@pytest.mark.parametrize(
    "head", [{"format": FORMAT, "algorithm": "ring"}, {"format": RING_FORMAT, "algorithm": "ring"}]
)
def test_a_ring_with_an_algorithm_is_told_its_format(head: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="'concordant-ring/1' and no field 'algorithm'"):
        Placement.from_json(json.dumps({**head, "nodes": NODES}))
