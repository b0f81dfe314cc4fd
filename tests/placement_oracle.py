"""What placement tests check against: naive answers, and keys that fall where a test wants them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from concordant.placement import HashRing, Node
from concordant.placement.hashing.xxh64 import xxh64_pure

SPACE = 1 << 64
MASK = SPACE - 1
PRIME_1, PRIME_2, PRIME_3, PRIME_4, PRIME_5 = (
    11400714785074694791,
    14029467366897019727,
    1609587929392839161,
    9650029242287828579,
    2870177450012600261,
)

# Found by running XXH64 backwards: point 0 of both nodes stands at the same position.
TIED_IDS = ("NqkjQxY/004706", "tied-node-0001")


def naive_points(nodes: Sequence[Node], points: int) -> list[tuple[int, str]]:
    """Return (position, id) of every point, straight from the format's description."""
    return [
        (xxh64_pure(f"{node.id}\0{number}".encode()), node.id)
        for node in nodes
        for number in range(max(1, round(node.weight * points)))
    ]


def naive_preference(points: Sequence[tuple[int, str]], position: int) -> list[str]:
    """Return all ids, ordered by the clockwise distance to their nearest point, then by id."""
    distance: dict[str, int] = {}
    for point, node_id in points:
        away = (point - position) % SPACE
        distance[node_id] = min(away, distance.get(node_id, SPACE))
    return sorted(distance, key=lambda node_id: (distance[node_id], node_id))


def preference_ids(ring: HashRing, key: bytes) -> list[str]:
    """Return the ids of all nodes of ``ring`` in the order preferred by ``key``."""
    return [node.id for node in ring.nodes(key, len(ring))]


def key_at(position: int) -> bytes:
    """Return the 8-byte key whose hash is ``position``: XXH64 of 8 bytes, step by step undone."""
    acc = position ^ position >> 32
    acc = acc * pow(PRIME_3, -1, SPACE) & MASK
    acc ^= acc >> 29 ^ acc >> 58
    acc = acc * pow(PRIME_2, -1, SPACE) & MASK
    acc ^= acc >> 33
    mixed = _rotate_right((acc - PRIME_4) * pow(PRIME_1, -1, SPACE) & MASK, 27) ^ (PRIME_5 + 8)
    lane = _rotate_right(mixed * pow(PRIME_1, -1, SPACE) & MASK, 31)
    return struct.pack("<Q", lane * pow(PRIME_2, -1, SPACE) & MASK)


def _rotate_right(value: int, bits: int) -> int:
    return (value >> bits | value << (64 - bits)) & MASK
