"""The textbook's ring, held to the textbook."""

from __future__ import annotations

import json
from hashlib import md5, sha1
from itertools import combinations
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import HashRing, ModuloRing, Node, Placement
from concordant.placement.stats import shares

KEYS = [f"key-{number}" for number in range(300)]
IDS = [f"node-{number}" for number in range(6)]


def stands(text: str, p: int = 360) -> int:
    return int(md5(text.encode()).hexdigest(), 16) % p + 1


def owner(key: str, ids: list[str], p: int = 360) -> str:
    """Return the first node at or after the key, by walking from position to position."""
    at = stands(key, p)
    while True:
        here = sorted(node_id for node_id in ids if stands(node_id, p) == at)
        if here:
            return here[0]
        at = at % p + 1


@pytest.mark.parametrize("p", [360, 7, 2, 1])
def test_owners_are_found_by_walking_the_ring(p: int) -> None:
    ring = ModuloRing([Node(node_id) for node_id in IDS], p)
    assert [ring.node(key).id for key in KEYS] == [owner(key, IDS, p) for key in KEYS]
    assert [ring.position_of(node_id) for node_id in IDS] == [stands(each, p) for each in IDS]
    assert all(1 <= ring.position_of(key) <= p for key in KEYS)


def test_of_two_at_one_position_the_smaller_id_has_all_and_the_other_follows() -> None:
    one, other = next(pair for pair in combinations(KEYS, 2) if stands(pair[0]) == stands(pair[1]))
    ring = ModuloRing([Node(other), Node(one), Node("third")])
    first, second = sorted((one, other))
    assert [node.id for node in ring.nodes(one, 3)] == [first, second, "third"]
    assert shares(ring)[second] == 0
    assert ring.with_nodes(remove=[first]).node(one).id == second


def test_another_digest_or_p_is_another_ring() -> None:
    nodes = [Node(node_id) for node_id in IDS]
    ring = ModuloRing(nodes, 1000, "sha1")
    assert ring.position_of("k") == int(sha1(b"k").hexdigest(), 16) % 1000 + 1
    assert (ring.p, ring.hash_name) == (1000, "mod-sha1-1000")
    assert Placement.from_json(ring.to_json()) == ring
    assert len({ring, ModuloRing(nodes, 1000), ModuloRing(nodes), ModuloRing(nodes, 1001)}) == 4
    # sha3_256 and others with an underscore are read back as well.
    for digest in ("sha3_256", "blake2b"):
        there = ModuloRing(nodes, 360, digest)
        assert Placement.from_json(there.to_json()) == there
        assert there.plan(there.with_nodes(remove=[IDS[0]])).exact


@pytest.mark.parametrize("p", [0, -1, 2**32 + 1, True, 360.0, "360", None])
def test_an_impossible_p_is_refused(p: Any) -> None:
    with pytest.raises(UsageError, match="p of a modulo ring"):
        ModuloRing([], p)


@pytest.mark.parametrize("digest", ["md4", "MD5", "shake_128", "", None, 7, ["md5"]])
def test_a_digest_of_no_fixed_length_is_refused(digest: Any) -> None:
    with pytest.raises(UsageError, match="hash must be one of"):
        ModuloRing([], 360, digest)


@pytest.mark.parametrize(
    "changes",
    [{"p": 361}, {"p": None}, {"hash": "mod-md5"}, {"hash": "md5"}, {"hash": None}, {"hash": []}],
)
def test_texts_that_contradict_themselves_are_refused(changes: dict[str, Any]) -> None:
    told = {**json.loads(ModuloRing([Node("a"), Node("b")]).to_json()), "fingerprint": None}
    with pytest.raises(UsageError):
        ModuloRing.from_json(json.dumps({**told, **changes}))


def test_one_can_move_away_from_it() -> None:
    old = ModuloRing([Node(node_id) for node_id in IDS])
    new = HashRing(old)
    moved = old.plan(new).moves(KEYS)
    assert moved == [
        (key, old.node(key).id, new.node(key).id) for key in KEYS if old.node(key) != new.node(key)
    ]
