"""pymemcache's rendezvous hashing, against answers of the real package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import Node
from concordant.placement.compat import PymemcacheRendezvous
from concordant.placement.compat.murmur3 import absorb, finish, murmur3_32
from concordant.placement.compat.pymemcache import low_bytes

GOLDEN = json.loads(
    (Path(__file__).parent.parent / "data" / "golden_pymemcache.json").read_text("utf-8")
)
KEYS: list[str] = GOLDEN["keys"]
RINGS = {ring["name"]: ring for ring in GOLDEN["rings"]}


def placement_of(golden: dict[str, Any]) -> PymemcacheRendezvous:
    return PymemcacheRendezvous([Node(name) for name in golden["nodes"]], seed=golden["seed"])


def test_hashes() -> None:
    for vector in GOLDEN["murmur3_32"]:
        data = low_bytes(vector["text"])
        assert murmur3_32(data, vector["seed"]) == vector["hash"], vector
        state = absorb(vector["seed"], data[: len(data) // 4 * 4])
        assert finish(state, data[len(data) // 4 * 4 :], len(data)) == vector["hash"], vector


@pytest.mark.parametrize("name", RINGS)
def test_owners_are_those_of_the_package(name: str) -> None:
    golden = RINGS[name]
    placement = placement_of(golden)
    owners = [golden["nodes"][number] for number in golden["owners"]]
    assert [placement.node(key).id for key in KEYS] == owners
    assert [node.id for node in placement.node_many(KEYS)] == owners


@pytest.mark.parametrize("name", RINGS)
def test_preference_lists_are_what_the_package_says_while_owners_leave(name: str) -> None:
    golden = RINGS[name]
    placement = placement_of(golden)
    assert golden["preferences"]
    for key, numbers in golden["preferences"].items():
        found = [node.id for node in placement.nodes(key, len(placement))]
        assert found == [golden["nodes"][number] for number in numbers]


def test_the_greater_name_wins_a_tie() -> None:
    for name in ("tied, smaller first", "tied, greater first"):
        golden = RINGS[name]
        assert placement_of(golden).node("tied").id == max(golden["nodes"])
        assert (
            placement_of(golden)._scores(placement_of(golden)._position("tied"))[0]
            == (placement_of(golden)._scores(placement_of(golden)._position("tied"))[1])
        )


def test_the_vectors_are_not_empty() -> None:
    assert len(KEYS) >= 200
    assert len(RINGS) == len(GOLDEN["rings"]) >= 8


def test_text_is_its_bytes_and_a_number_its_digits() -> None:
    placement = PymemcacheRendezvous([Node(name) for name in "abc"])
    for text in KEYS:
        assert placement.node(text) is placement.node(text.encode())
    for number in range(100):
        assert placement.node(number) is placement.node(str(number))


def test_bytes_that_encode_no_text_have_owners_too() -> None:
    placement = PymemcacheRendezvous([Node(name) for name in "abcdefgh"])
    owners = {placement.node(bytes([first, 255])).id for first in range(128, 256)}
    assert len(owners) == 8


@pytest.mark.parametrize("seed", [-1, 1 << 32, 1.5, True])
def test_bad_seeds(seed: Any) -> None:
    with pytest.raises(UsageError, match="seed"):
        PymemcacheRendezvous([], seed=seed)


def test_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="no weights"):
        PymemcacheRendezvous([Node("a", 2.0)])


def test_the_seed_is_placement_where_there_is_something_to_choose() -> None:
    def of(ids: str, seed: int) -> PymemcacheRendezvous:
        return PymemcacheRendezvous([Node(node_id) for node_id in ids], seed=seed)

    assert of("ab", 0) != of("ab", 1)
    assert of("a", 0) == of("a", 1)
    assert of("", 0) == of("", 1)
