"""Laws of the placements that follow other libraries, for any nodes, weights and keys."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concordant.placement import Node
from concordant.placement.base import Placement
from concordant.placement.compat import (
    LibmemcachedKetama,
    PymemcacheRendezvous,
    RedisCluster,
    UhashringKetama,
    UhashringMd5,
)
from concordant.placement.compat.continuum import digest_counts
from concordant.placement.compat.murmur3 import murmur3_32
from concordant.placement.compat.pymemcache import low_bytes, text_of, text_position
from concordant.placement.compat.redis_cluster import key_slot
from concordant.placement.hashing.named import position_by
from concordant.placement.tables.table import TablePlacement

# Many examples of many algorithms: more than daily use waits for.
pytestmark = pytest.mark.slow

Make = Callable[[dict[str, int]], Placement]

SPACE = 1 << 64
IDS = [f"{name}:{port}" for name in ("a", "b", "10.0.0.1", "ä") for port in (11211, 7)]
KEYS = [f"key-{number}" for number in range(60)]
weights = st.dictionaries(st.sampled_from(IDS), st.integers(1, 9), max_size=6)
keys = st.text(max_size=40) | st.binary(max_size=40) | st.integers()


def weighed(node_weights: dict[str, int]) -> list[Node]:
    return [Node(*pair) for pair in node_weights.items()]


def equal(node_weights: dict[str, int]) -> list[Node]:
    return [Node(node_id) for node_id in node_weights]


def cluster(node_weights: dict[str, int]) -> RedisCluster:
    """Return a cluster in which the weights say how many parts of the slots each node has."""
    parts = [node_id for node_id in sorted(node_weights) for _ in range(node_weights[node_id])]
    slots: dict[str, list[tuple[int, int]]] = {}
    for number in range(64 if parts else 0):
        part = number * 256, number * 256 + 255
        slots.setdefault(parts[number % len(parts)], []).append(part)
    return RedisCluster(equal(node_weights), slots)


KINDS: dict[str, Make] = {
    "libmemcached, weighted": lambda given: LibmemcachedKetama(weighed(given)),
    "libmemcached, plain": lambda given: LibmemcachedKetama(
        equal(given), weighted=False, hash="one-at-a-time"
    ),
    "pymemcache": lambda given: PymemcacheRendezvous(equal(given), seed=7),
    "uhashring, ketama": lambda given: UhashringKetama(weighed(given), vnodes=3),
    "uhashring, md5": lambda given: UhashringMd5(weighed(given), vnodes=3),
    "redis": cluster,
}
RINGS = {name: make for name, make in KINDS.items() if name not in ("pymemcache", "redis")}
# A change of one node has no say in the points or scores of another.
STEADY = ("libmemcached, plain", "pymemcache", "uhashring, md5")


def owners(placement: Placement) -> list[str]:
    return [placement.node(key).id for key in KEYS] if len(placement) else []


def lists(placement: Placement, positions: list[int]) -> list[list[str]]:
    return [[node.id for node in placement._prefer(position)] for position in positions]


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
@given(weights)
def test_a_placement_survives_json_and_pickle(make: Make, node_weights: dict[str, int]) -> None:
    placement = make(node_weights)
    for twin in (
        Placement.from_json(placement.to_json()),
        type(placement).from_json(placement.to_json()),
        pickle.loads(pickle.dumps(placement)),
    ):
        assert type(twin) is type(placement)
        assert twin == placement
        assert twin.to_json() == placement.to_json()
        assert owners(twin) == owners(placement)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
@given(weights, st.randoms(use_true_random=False))
def test_the_order_in_which_nodes_are_given_says_nothing(
    make: Make, node_weights: dict[str, int], random: object
) -> None:
    shuffled = list(node_weights.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert make(dict(shuffled)) == make(node_weights)
    assert owners(make(dict(shuffled))) == owners(make(node_weights))


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
@given(weights, keys)
def test_lists_name_every_node_once_the_owner_first(
    make: Make, node_weights: dict[str, int], key: str | bytes | int
) -> None:
    placement = make(node_weights)
    found = [placement.nodes(key, n) for n in range(len(placement) + 1)]
    assert {node.id for node in found[-1]} == node_weights.keys()
    for shorter, longer in pairwise(found):
        assert longer[: len(shorter)] == shorter
        assert longer[0] is placement.node(key)
        assert list(placement)[placement.index_many([key])[0]] is longer[0]


@pytest.mark.parametrize("make", [KINDS[name] for name in STEADY], ids=STEADY)
@given(weights, st.sampled_from(IDS))
def test_a_node_that_joins_takes_keys_and_moves_no_others(
    make: Make, node_weights: dict[str, int], node_id: str
) -> None:
    without = make({each: weight for each, weight in node_weights.items() if each != node_id})
    joined = without.with_nodes(add=[Node(node_id)])
    assert joined == make({each.id: int(each.weight) for each in joined})
    for before, after in zip(owners(without), owners(joined), strict=False):
        assert after in (before, node_id)
    assert joined.with_nodes(remove=[node_id]) == without
    assert joined.epoch == 1


@pytest.mark.parametrize("make", RINGS.values(), ids=RINGS)
@given(weights, weights)
def test_a_change_leads_to_what_is_made_from_scratch(
    make: Make, old: dict[str, int], new: dict[str, int]
) -> None:
    target = make(new)
    changed = make(old).with_nodes(
        add=[node for node in target if node.id not in old],
        remove=old.keys() - new.keys(),
        reweight={node.id: node.weight for node in target if node.id in old},
    )
    assert list(changed) == list(target)
    # Of ties the order of the servers tells, and who stayed was there before who came.
    if changed._state() == target._state():
        assert changed == target
    else:
        assert set(changed._state()["order"]) == set(target._state()["order"])


@pytest.mark.parametrize("make", RINGS.values(), ids=RINGS)
@settings(max_examples=25)
@given(weights, weights)
def test_fingerprints_are_equal_where_the_lists_are(
    make: Make, one: dict[str, int], other: dict[str, int]
) -> None:
    rings = [make(one), make(other)]
    positions = {0}
    for ring in rings:
        assert isinstance(ring, TablePlacement)
        for start, end, _ in ring.arcs():
            positions |= {start, end % SPACE, (end - 1) % SPACE}
    first, second = (lists(ring, sorted(positions)) for ring in rings)
    assert (rings[0].fingerprint() == rings[1].fingerprint()) == (first == second)


@pytest.mark.parametrize("name", [*RINGS, "redis"])
@given(weights.filter(bool), keys)
def test_a_key_lies_in_an_arc_of_its_owner(
    name: str, node_weights: dict[str, int], key: str | bytes | int
) -> None:
    placement = KINDS[name](node_weights)
    assert isinstance(placement, TablePlacement)
    position = position_by(placement.hash_name)(key)
    assert position == placement._position(key)
    (arc,) = [each for each in placement.arcs() if each.start <= position < each.end]
    assert arc.owner_id == placement.node(key).id


@given(st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=12))
def test_digests_are_about_in_proportion_to_weights(given_weights: list[int]) -> None:
    for weight, count in zip(given_weights, digest_counts(given_weights), strict=True):
        exact = Fraction(40 * len(given_weights) * weight, sum(given_weights))
        assert exact - 1 - exact / 10**6 <= count <= exact + exact / 10**6


def crc16(data: bytes) -> int:
    """The definition: polynomial 0x1021, from 0, most significant bit first."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return crc


@given(st.binary(max_size=60) | st.text("{}ab", max_size=20).map(str.encode))
def test_slots_are_those_of_the_definition(key: bytes) -> None:
    tagged = key
    _, brace, behind = key.partition(b"{")
    tag, closing, _ = behind.partition(b"}")
    if brace and closing and tag:
        tagged = tag
    assert key_slot(key) == crc16(tagged) % 16384


@given(st.text(max_size=30), st.text(max_size=30), st.integers(0, 2**32 - 1))
def test_scores_of_pymemcache_are_hashes_of_name_and_key(name: str, key: str, seed: int) -> None:
    node_id = f"n{name}".replace("\0", "")
    placement = PymemcacheRendezvous([Node(node_id)], seed=seed)
    whole = low_bytes(f"{node_id}-{key}")
    assert placement._scores(placement._position(key)) == [murmur3_32(whole, seed)]


@given(st.text(max_size=30))
def test_the_number_of_a_key_gives_back_what_is_hashed_of_it(key: str) -> None:
    assert text_of(text_position(key)) == low_bytes(key)
    assert text_position(key.encode()) == text_position(key)
