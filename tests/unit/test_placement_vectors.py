"""The golden vectors: placement is never changed by accident."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from concordant.placement import HashRing, Node, xxh64
from concordant.placement.hashing.xxh64 import xxh64_pure
from concordant.placement.tables.points import point_count

VECTORS = json.loads(
    (Path(__file__).parent.parent / "data" / "ring_vectors.json").read_text("utf-8")
)
RINGS = pytest.mark.parametrize("vectors", VECTORS["rings"], ids=lambda ring: ring["name"])


def ring_of(vectors: dict[str, Any]) -> HashRing:
    return HashRing([Node(**node) for node in vectors["nodes"]], vectors["points"])


@pytest.mark.parametrize("digest", [xxh64, xxh64_pure])
def test_hashes(digest: Any) -> None:
    for vector in VECTORS["xxh64"]:
        assert str(digest(bytes.fromhex(vector["bytes"]))) == vector["hash"], vector


@RINGS
def test_point_counts(vectors: dict[str, Any]) -> None:
    ring = ring_of(vectors)
    counts = {node.id: point_count(node, ring.points) for node in ring}
    assert counts == vectors["point_counts"]


@RINGS
def test_owners_and_preference_lists(vectors: dict[str, Any]) -> None:
    ring = ring_of(vectors)
    for lookup in vectors["lookups"]:
        assert ring.node(lookup["key"]).id == lookup["nodes"][0], lookup
        assert [node.id for node in ring.nodes(lookup["key"], len(ring))] == lookup["nodes"], lookup


@RINGS
def test_fingerprint(vectors: dict[str, Any]) -> None:
    assert ring_of(vectors).fingerprint() == vectors["fingerprint"]


def test_the_vectors_are_not_empty() -> None:
    assert len(VECTORS["xxh64"]) >= 20
    assert sum(len(ring["lookups"]) for ring in VECTORS["rings"]) >= 200
