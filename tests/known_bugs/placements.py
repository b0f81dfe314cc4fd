"""Every algorithm of placement, made alike, and what is asked of each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from concordant.placement import (
    HashRing,
    IntJump,
    Jump,
    Maglev,
    Memento,
    ModuloRing,
    Node,
    Placement,
    Rendezvous,
    Slots,
)
from concordant.placement.compat import (
    LibmemcachedKetama,
    PymemcacheRendezvous,
    RedisCluster,
    UhashringKetama,
    UhashringMd5,
)

A, B, C, D = (f"10.0.0.{number}:11211" for number in range(1, 5))
# Numbers are keys of every algorithm.
KEYS = [number * 0x9E3779B97F4A7C15 % 2**64 for number in range(1500)]


def redis_cluster(nodes: Iterable[Node]) -> RedisCluster:
    """Return a cluster whose nodes have equal parts of the slots, by ascending id."""
    members = sorted(nodes, key=lambda node: node.id)
    ends = [16384 * at // len(members) for at in range(len(members) + 1)]
    parts = {node.id: [(ends[at], ends[at + 1] - 1)] for at, node in enumerate(members)}
    return RedisCluster(members, parts)


Make = Callable[[Iterable[Node]], Placement]

# By the name of the algorithm; a hyphen would part the parameters in the id of a test.
MAKERS: dict[str, Make] = {
    "ring": HashRing,
    "int_jump": IntJump,
    "jump": Jump,
    "libmemcached_ketama": LibmemcachedKetama,
    "maglev": lambda nodes: Maglev(nodes, 4099),
    "memento": Memento,
    "modulo_ring": lambda nodes: ModuloRing(nodes, p=100_003),
    "pymemcache_rendezvous": PymemcacheRendezvous,
    "redis_cluster": redis_cluster,
    "rendezvous": Rendezvous,
    "slots": lambda nodes: Slots(nodes, 4096),
    "uhashring_ketama": UhashringKetama,
    "uhashring_md5": UhashringMd5,
}

WEIGHTED = (
    *("ring", "libmemcached_ketama", "maglev", "rendezvous", "slots"),
    *("uhashring_ketama", "uhashring_md5"),
)
EQUAL = tuple(name for name in MAKERS if name not in WEIGHTED)


def placed(name: str, weights: Mapping[str, float] | Iterable[str]) -> Placement:
    """Return a placement of these ids, with their weights if there are any."""
    if isinstance(weights, Mapping):
        return MAKERS[name]([Node(*pair) for pair in weights.items()])
    return MAKERS[name]([Node(node_id) for node_id in weights])


def without(placement: Any, node_id: str) -> Placement:
    """Return the placement after a node has left, whose slots others have taken first."""
    if isinstance(placement, RedisCluster):
        heir = next(node.id for node in placement if node.id != node_id)
        placement = placement.with_slots({heir: placement.slots[node_id]})
    left: Placement = placement.with_nodes(remove=[node_id])
    return left


def joined(placement: Any, node: Node) -> Placement:
    """Return the placement after a node has joined, and been given slots where it needs them."""
    grown: Any = placement.with_nodes(add=[node])
    if isinstance(grown, RedisCluster):
        grown = grown.with_slots({node.id: [(0, 2000)]})
    more: Placement = grown
    return more


def owners(placement: Placement) -> list[str]:
    """Return the ids of the owners of all keys."""
    return [node.id for node in placement.node_many(KEYS)]
