"""Jump hash, against answers of the package jump-consistent-hash."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from concordant.placement import Node
from concordant.placement.functions.jump import IntJump
from concordant.placement.functions.jump_lookup import jump

GOLDEN = json.loads((Path(__file__).parent.parent / "data" / "golden_jump.json").read_text("utf-8"))
VECTORS = [(int(vector["key"]), vector["results"]) for vector in GOLDEN["vectors"]]


def test_the_vectors_are_not_empty() -> None:
    assert len(VECTORS) >= 150
    assert max(GOLDEN["buckets"]) == 2**31 - 1


def test_buckets_are_those_of_the_package() -> None:
    for key, results in VECTORS:
        assert [jump(key, buckets) for buckets in GOLDEN["buckets"]] == results, key


@pytest.mark.parametrize("buckets", [each for each in GOLDEN["buckets"] if each <= 1024])
def test_the_owner_is_the_node_with_the_number_of_the_bucket(buckets: int) -> None:
    """What was `jump.hash(key, n)` is the node of that number, in the order of `buckets`."""
    ids = [f"node-{number}" for number in range(buckets)]
    placement = IntJump([Node(node_id) for node_id in ids], buckets=ids)
    at = GOLDEN["buckets"].index(buckets)
    owners = [ids[results[at]] for _, results in VECTORS]
    assert [placement.node(key).id for key, _ in VECTORS] == owners
    assert [placement.node(key - 2**64).id for key, _ in VECTORS] == owners
