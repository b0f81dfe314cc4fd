"""A ring as JSON: read back exactly, or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import HashRing, Node

RING = HashRing(
    [Node("a", 0.1, "z", "postgresql://bank:hunter2@db/x"), Node("ö\n\"'", 3.0)], 40, epoch=7
)


def edited(**changes: Any) -> str:
    return json.dumps({**json.loads(RING.to_json()), **changes})


def test_a_round_trip_keeps_everything() -> None:
    twin = HashRing.from_json(RING.to_json())
    assert twin == RING
    assert twin.nodes_by_id == RING.nodes_by_id
    assert (twin.points, twin.epoch) == (40, 7)
    assert twin.to_json() == RING.to_json()


def test_an_empty_ring_goes_round_too() -> None:
    assert HashRing.from_json(HashRing(epoch=3).to_json()).epoch == 3


def test_a_ring_may_be_written_by_hand() -> None:
    text = '{"format": "concordant-ring/1", "nodes": [{"id": "b", "weight": 2}, {"id": "a"}]}'
    assert HashRing.from_json(text) == HashRing([Node("a"), Node("b", 2.0)])


def test_a_ring_that_does_not_match_its_fingerprint_is_refused() -> None:
    with pytest.raises(UsageError, match="fingerprint"):
        HashRing.from_json(edited(points=400))
    assert HashRing.from_json(edited(points=400, fingerprint=None)).points == 400


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        pytest.param("[" * 100_000, id="deep"),
        '{"nodes": []}',
        '{"format": "concordant-ring/1"}',
        edited(format="concordant-ring/2"),
        edited(hash="md5"),
        edited(colour="red"),
        edited(nodes={}),
        edited(nodes=["a"]),
        edited(nodes=[{}]),
        edited(nodes=[{"id": "a", "wieght": 3}]),
        edited(nodes=[{"id": "a"}, {"id": "a"}]),
        edited(nodes=[{"id": "a", "weight": float("nan")}]),
        edited(nodes=[{"id": "a", "weight": None}]),
        edited(nodes=[{"id": 1}]),
        edited(points=0),
        edited(points="160"),
        edited(epoch=-1),
        edited(epoch=1.0),
        None,
        b"{}",
    ],
)
def test_anything_else_is_refused(text: Any) -> None:
    with pytest.raises(UsageError):
        HashRing.from_json(text)


def test_refusals_do_not_show_addresses() -> None:
    node = {"id": "a", "weight": 0, "address": "postgresql://bank:hunter2@db/x"}
    with pytest.raises(UsageError) as caught:
        HashRing.from_json(edited(nodes=[node]))
    assert "hunter2" not in str(caught.value)
