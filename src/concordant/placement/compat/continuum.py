"""Where libmemcached and uhashring put the points of their nodes.

Each function takes the nodes in the order in which the other library got them, and returns pairs
of position and node id in the order of the ring. A key belongs to the first point at or after its
position, so the rules of the other library for a key that falls on a point, and for two points at
one place, are in the pairs already.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from hashlib import md5

from concordant.errors import UsageError
from concordant.placement.compat.ketama import SHIFT, md5_word, md5_words, one_at_a_time
from concordant.placement.nodes import Node
from concordant.placement.tables.points import MAX_POINTS_PER_NODE, SPACE

DEFAULT_PORT = 11211
POINTS = 100
"""Points of a server where libmemcached knows no weights."""
DIGESTS = 40
"""Digests, of four points each, of a server of mean weight where it does."""

Points = list[tuple[int, str]]


def server_name(node_id: str) -> str:
    """Return the name that libmemcached gives the points of the server with this id.

    The id is ``host:port``, ``[IPv6 address]:port`` or the path of a Unix socket. The name has no
    port when that is 11211. Raises UsageError for any other id.
    """
    if node_id.startswith("/"):
        return f"{node_id}:0"
    host, colon, digits = node_id.rpartition(":")
    if not colon or not (digits.isascii() and digits.isdecimal()) or digits != str(int(digits)):
        raise UsageError(_no_server(node_id))
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(_no_server(node_id))
    if not host or not 1 <= int(digits) <= 65535:
        raise UsageError(_no_server(node_id))
    return host if int(digits) == DEFAULT_PORT else f"{host}:{digits}"


def _no_server(node_id: str) -> str:
    return (
        f"node id {node_id!r} names no server: libmemcached's points are made of host and port;"
        " write host:port (10.0.0.1:11211, [::1]:11211) or the path of a Unix socket"
    )


def whole_weight(node: Node, most: int) -> int:
    """Return the weight as an int; raises UsageError unless it is one, of at most ``most``."""
    if node.weight > most or node.weight != int(node.weight):
        raise UsageError(
            f"node {node.id!r} has weight {node.weight}; give a whole number up to {most},"
            " since the library that is followed knows no others"
        )
    return int(node.weight)


def libmemcached_points(nodes: Sequence[Node], *, weighted: bool, digest: str) -> Points:
    """Return libmemcached's points; of two at one place its earlier server's comes first.

    Unweighted, each server has 100 points: the hash of keys, ``digest``, of the name, a hyphen
    and a number. Weighted, they come from MD5 whatever the hash of keys is.
    """
    rank = {node.id: number for number, node in enumerate(nodes)}
    found: list[tuple[int, int, str]] = []
    if weighted:
        counts = digest_counts([whole_weight(node, (1 << 32) - 1) for node in nodes])
        for node, count in zip(nodes, counts, strict=True):
            for name in _names(server_name(node.id), count):
                found += [(word, rank[node.id], node.id) for word in md5_words(name)]
    else:
        hashed = {"md5": md5_word, "one-at-a-time": one_at_a_time}[digest]
        for node in nodes:
            for name in _names(server_name(node.id), POINTS):
                found.append((hashed(name), rank[node.id], node.id))
    # A key on a point belongs to it, so that each stands at the last position of its place.
    return [((word + 1 << SHIFT) - 1, node_id) for word, _, node_id in sorted(found)]


def _names(name: str, count: int) -> Iterator[bytes]:
    return (f"{name}-{number}".encode() for number in range(count))


def digest_counts(weights: Sequence[int]) -> list[int]:
    """Return how many digests libmemcached takes of each server, given all weights.

    It multiplies in single precision, which rounds some products down past a whole number; so
    each step here is rounded to single precision as well. A light server may end up with none.
    """
    total = _single(sum(weights))
    counts = []
    for weight in weights:
        share = _single(_single(weight) / total)
        exact = _single(_single(share * (DIGESTS * 4)) / 4 * len(weights))
        counts.append(int(_single(exact + 1e-10)))
    return counts


def _single(number: float) -> float:
    """Return the nearest number of single precision.

    One operation in double precision, rounded so, is that operation in single precision.
    """
    (rounded,) = struct.unpack("<f", struct.pack("<f", number))
    return float(rounded)


def _bounded(node: Node, digests: int, points: int) -> int:
    if digests * points > MAX_POINTS_PER_NODE:
        raise UsageError(
            f"node {node.id!r} would have {digests * points} points, more than"
            f" {MAX_POINTS_PER_NODE}; a ring of uhashring's of that size is not followed"
        )
    return digests


def uhashring_ketama_points(nodes: Sequence[Node], vnodes: int, replicas: int) -> Points:
    """Return the points of uhashring's ketama mode.

    Each node has ``vnodes x nodes x weight // sum of weights`` digests and ``replicas`` points of
    each. Of two nodes with points at one place, the later one has both.
    """
    weights = [whole_weight(node, 1 << 53) for node in nodes]
    owner: dict[int, str] = {}
    for node, weight in zip(nodes, weights, strict=True):
        digests = vnodes * len(nodes) * weight // sum(weights)
        for name in _names(node.id, _bounded(node, digests, replicas)):
            owner.update(dict.fromkeys(md5_words(name)[:replicas], node.id))
    # A key on a point belongs to the next one, so that each stands before its place.
    return sorted((((word << SHIFT) - 1) % SPACE, node_id) for word, node_id in owner.items())


def uhashring_md5_points(nodes: Sequence[Node], vnodes: int) -> Points:
    """Return the points of uhashring's default mode: ``vnodes x weight`` MD5 digests of a node.

    uhashring compares all 128 bits of a digest, here the first 64 count. Only a key whose digest
    begins with the 64 bits of a point, and goes on with a smaller number than its other 64, is
    placed otherwise: of 2**64 keys less than one a point.
    """
    owner: dict[int, str] = {}
    for node in nodes:
        for name in _names(node.id, _bounded(node, vnodes * whole_weight(node, 1 << 53), 1)):
            owner[int.from_bytes(md5(name, usedforsecurity=False).digest(), "big")] = node.id
    # Keys that are a point's very name are not that rare; they belong to the next point.
    return sorted((((place >> 64) - 1) % SPACE, node_id) for place, node_id in owner.items())
