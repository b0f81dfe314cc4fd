"""Every algorithm of placement: how to make one, and what it promises.

Tests ask for promises, never for names; an algorithm that is missing here fails the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import pytest

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
from concordant.placement.hashing.mixing import mix
from concordant.placement.keys import Key

# Names of servers, as some algorithms insist on; the order of the ids is not that of the numbers.
IDS = ("h1:11211", "h10:7", "h2:1", "h3:11211", "h4:11211", "h5:80", "ä:9")
ZONES = ("x", "y", None, "x", "x", "z", None)
# Numbers spread like hashes are keys of every algorithm.
NUMBERS: list[Key] = [mix(number) for number in range(400)]
TEXTS: list[Key] = [
    "",
    "a",
    "user:42",
    "grüße",
    "x" * 300,
    b"",
    b"\xff\0",
    b"user:42",
    0,
    -7,
    2**70,
]


def everybody(placement: Placement) -> list[str]:
    """Return the ids of all nodes: any of them may leave."""
    return list(placement.nodes_by_id)


def last_bucket(placement: Placement) -> list[str]:
    """Return the id of the last bucket's node, which alone may leave."""
    return list(placement._state()["buckets"][-1:])


def without_slots(placement: Placement) -> list[str]:
    """Return the ids of nodes that serve no slots."""
    return [node_id for node_id, parts in placement._state()["slots"].items() if not parts]


@dataclass(frozen=True)
class Kind:
    """Say how placements of one algorithm are made, and what they promise.

    ``weights``: what nodes may weigh, the first being usual; a single one if all must be alike.
    ``steady``: of "add", "remove" and "reweight" those that move keys to or from the changed
    node only; ``steady_lists``: and leave the order of the other nodes in every list.
    ``history``: the changes that led to a placement are part of it, not its nodes alone.
    ``fills``: a node that joins gets keys. ``integers``: keys are ints that are hashes already.
    """

    make: Callable[[Iterable[Node]], Placement]
    weights: tuple[float, ...] = (1.0,)
    steady: frozenset[str] = frozenset()
    steady_lists: bool = False
    history: bool = False
    ranges: bool = True
    fills: bool = True
    integers: bool = False
    leavers: Callable[[Placement], list[str]] = everybody

    @property
    def keys(self) -> list[Key]:
        """Return keys that this algorithm places."""
        return NUMBERS[:60] if self.integers else [*TEXTS, *NUMBERS[:40]]

    def nodes(self, count: int, *, zoned: bool = False) -> list[Node]:
        """Return so many nodes, of weights and zones that differ where they may."""
        return [
            Node(
                node_id,
                self.weights[place % len(self.weights)],
                ZONES[place] if zoned else None,
                f"redis://user:hunter2@{node_id}" if zoned else None,
            )
            for place, node_id in enumerate(IDS[:count])
        ]

    def placement(self, count: int, *, zoned: bool = False) -> Placement:
        """Return a placement of so many nodes."""
        return self.make(self.nodes(count, zoned=zoned))


def _cluster(nodes: Iterable[Node]) -> RedisCluster:
    """Return a Redis Cluster in which each node serves some ranges, but the last of several."""
    members = sorted(nodes, key=lambda node: node.id)
    serving = members[: max(1, len(members) - 1)]
    slots: dict[str, list[tuple[int, int]]] = {}
    for part in range(64 if members else 0):
        owner = serving[part * 5 % len(serving)]
        slots.setdefault(owner.id, []).append((part * 256, part * 256 + 255))
    return RedisCluster(members, slots)


def _pinned(nodes: Iterable[Node]) -> Slots:
    """Return slots of which the first two are pinned, to the last node."""
    members = sorted(nodes, key=lambda node: node.id)
    return Slots(members, 67, pins={slot: members[-1].id for slot in (0, 1) if members})


def _unpinned(placement: Placement) -> list[str]:
    assert isinstance(placement, Slots)
    return [node_id for node_id in placement.nodes_by_id if node_id not in placement.pins.values()]


ALL = frozenset({"add", "remove", "reweight"})
JOIN_AND_LEAVE = ALL - {"reweight"}
WEIGHTS = (1.0, 0.5, 3.0, 0.001, 1.0, 2.25)
WHOLE = (1.0, 2.0, 5.0)

# By the name of the algorithm, behind a slash what else is special.
KINDS: dict[str, Kind] = {
    "ring": Kind(lambda nodes: HashRing(nodes, 12), WEIGHTS, ALL, steady_lists=True),
    "rendezvous": Kind(Rendezvous, WEIGHTS, ALL, steady_lists=True, ranges=False),
    "slots": Kind(lambda nodes: Slots(nodes, 64), WEIGHTS, history=True),
    "slots/pinned": Kind(_pinned, WEIGHTS, history=True, leavers=_unpinned),
    "maglev": Kind(lambda nodes: Maglev(nodes, 61), WEIGHTS),
    "memento": Kind(Memento, steady=JOIN_AND_LEAVE, history=True, ranges=False),
    "jump": Kind(Jump, steady=JOIN_AND_LEAVE, history=True, ranges=False, leavers=last_bucket),
    "int-jump": Kind(
        IntJump,
        steady=JOIN_AND_LEAVE,
        history=True,
        ranges=False,
        leavers=last_bucket,
        integers=True,
    ),
    "modulo-ring": Kind(ModuloRing, steady=JOIN_AND_LEAVE, steady_lists=True),
    "libmemcached-ketama": Kind(LibmemcachedKetama, WHOLE),
    "libmemcached-ketama/plain": Kind(
        lambda nodes: LibmemcachedKetama(nodes, weighted=False, hash="one-at-a-time"),
        steady=JOIN_AND_LEAVE,
        steady_lists=True,
    ),
    "pymemcache-rendezvous": Kind(
        PymemcacheRendezvous, steady=JOIN_AND_LEAVE, steady_lists=True, ranges=False
    ),
    "redis-cluster": Kind(
        _cluster, steady=JOIN_AND_LEAVE, history=True, fills=False, leavers=without_slots
    ),
    "uhashring-ketama": Kind(lambda nodes: UhashringKetama(nodes, vnodes=4), WHOLE),
    "uhashring-md5": Kind(
        lambda nodes: UhashringMd5(nodes, vnodes=5), WHOLE, ALL, steady_lists=True
    ),
}

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def kinds(promise: Callable[[Kind], object]) -> pytest.MarkDecorator:
    """Return what runs a test over all algorithms that promise something."""
    chosen = {name: kind for name, kind in KINDS.items() if promise(kind)}
    assert chosen
    return pytest.mark.parametrize("kind", chosen.values(), ids=chosen)


def ids_of(nodes: Iterable[Node]) -> list[str]:
    """Return the ids of nodes, in their order."""
    return [node.id for node in nodes]


def lists_of(placement: Placement, keys: Iterable[Key]) -> list[list[str]]:
    """Return the whole preference list of each key."""
    return [ids_of(placement.nodes(key, len(placement))) for key in keys]


def owners_of(placement: Placement, keys: Iterable[Key]) -> list[str]:
    """Return the id of each key's owner."""
    return ids_of(placement.node_many(keys))


def taken_in_rounds(preference: Sequence[Node], n: int, down: Iterable[str] = ()) -> list[str]:
    """Return what spreading over zones means: round after round, the first node of each zone."""
    left = [node for node in preference if node.id not in set(down)]
    taken: list[Node] = []
    while left:
        served: set[str | None] = set()
        for node in left:
            if node.zone not in served:
                served.add(node.zone)
                taken.append(node)
        left = [node for node in left if node not in taken]
    return ids_of(taken[:n])


def readdressed(node: Node) -> Node:
    """Return the node as it comes back from a move to another host."""
    return replace(node, address=f"tcp://{node.id}/new", zone="elsewhere")
