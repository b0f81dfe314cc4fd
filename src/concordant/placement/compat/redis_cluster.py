"""Placement as Redis Cluster has it: key slots, and which node serves which of them."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, ClassVar, Self

from concordant.errors import UsageError
from concordant.placement.base import checked_epoch
from concordant.placement.compat.table import FollowedTable
from concordant.placement.hashing.named import spread_out
from concordant.placement.keys import Key, check_integer, key_bytes
from concordant.placement.members import changed_nodes
from concordant.placement.nodes import Node

SLOTS = 16384
CRC16 = "crc16"

Ranges = Mapping[str, Iterable[int | tuple[int, int]]]
"""By node id: slots, and ranges as pairs of their first and their last slot."""

Owners = list[str | None]
"""The node that serves each slot."""


def key_slot(key: Key) -> int:
    """Return the slot of ``key``, from 0 to 16383, as CLUSTER KEYSLOT does.

    It is the CRC16 (XMODEM) of the key, or of its hash tag alone: what stands between the first
    ``{`` and the first ``}`` behind it, unless that is nothing. Keys that share a tag share a slot.
    """
    data = key_bytes(key)
    start = data.find(b"{") + 1
    if start:
        end = data.find(b"}", start)
        if end > start:
            data = data[start:end]
    return crc_hqx(data, 0) % SLOTS


def slot_position(key: Key) -> int:
    """Return the first position of a key's slot."""
    return spread_out(key_slot(key), SLOTS)


def position_by(name: str) -> Callable[[Key], int]:
    """Return the function that gives a key's position; raises UsageError unless it is crc16."""
    if name != CRC16:
        raise UsageError(f"no placement uses a hash named {name!r}; of this family is {CRC16}")
    return slot_position


class RedisCluster(FollowedTable):
    """Place keys on the nodes that serve their slots in a Redis Cluster.

    ``slots`` says which node serves which of the 16384 slots, as CLUSTER SLOTS and CLUSTER SHARDS
    tell: by node id a list of slots and of ranges, pairs of their first and last slot. Each slot
    needs one node; a node may have none. Nothing moves by itself: ``with_slots`` assigns slots
    anew, and ``with_nodes`` adds nodes without slots and removes such nodes.

    The nodes are masters. What follows the owner in the preference list serves the slots that
    follow, whereas Redis keeps replicas of its own by master.

    Raises UsageError for slots that two nodes or none serve, or that do not exist; for weights
    other than 1, which a Redis Cluster does not know; for two nodes of one id; and for the removal
    of a node that serves slots.
    """

    __slots__ = ("_epoch", "_fingerprint", "_owners_of_slots")

    algorithm: ClassVar[str] = "redis-cluster"
    _fields: ClassVar[frozenset[str]] = frozenset({"slots"})

    def __init__(
        self, nodes: Iterable[Node] = (), slots: Ranges | None = None, *, epoch: int = 0
    ) -> None:
        self._epoch = checked_epoch(epoch)
        members = changed_nodes({}, add=nodes)
        self._settle(members, _assigned([None] * SLOTS, slots or {}))

    def _settle(self, nodes: dict[str, Node], owners: Owners) -> None:
        _check(nodes, owners)
        self._owners_of_slots = owners
        ends = (
            (spread_out(last + 1, SLOTS) - 1, node_id) for node_id, (_, last) in _ranges(owners)
        )
        self._take(nodes, ends)

    @classmethod
    def from_cluster_slots(cls, reply: Iterable[Any], *, epoch: int = 0) -> Self:
        """Return the placement that a reply to CLUSTER SLOTS tells, as ``redis.Redis`` gives it.

        Each master is a node. Its id is the one that Redis gave it, which stays when it moves to
        another host, and its address is ``host:port`` where Redis knows its host. Raises
        UsageError for a reply that says less, or not who serves each slot.
        """
        nodes: dict[str, Node] = {}
        slots: dict[str, list[tuple[int, int]]] = {}
        for entry in reply:
            first, last, node = _slots_entry(entry)
            nodes[node.id] = node
            slots.setdefault(node.id, []).append((first, last))
        return cls(nodes.values(), slots, epoch=epoch)

    @property
    def slots(self) -> dict[str, list[tuple[int, int]]]:
        """Return by node id the ranges of slots that it serves, as first and last slot."""
        found: dict[str, list[tuple[int, int]]] = {node_id: [] for node_id in self._nodes}
        for node_id, pair in _ranges(self._owners_of_slots):
            found[node_id].append(pair)
        return found

    def slot(self, key: Key) -> int:
        """Return the slot of a key, from 0 to 16383; raises UsageError for what is no key."""
        return key_slot(key)

    def with_slots(self, slots: Ranges) -> Self:
        """Return a new placement in which nodes also serve these slots, others' until now.

        Its epoch is one higher. Raises UsageError as the class does.
        """
        return self._made(self._nodes, _assigned(self._owners_of_slots, slots))

    @property
    def hash_name(self) -> str:
        """Return the name of the hash by which keys become positions."""
        return CRC16

    def _position(self, key: Key) -> int:
        return slot_position(key)

    def _after(self, nodes: dict[str, Node]) -> Self:
        return self._made(nodes, self._owners_of_slots)

    def _made(self, nodes: dict[str, Node], owners: Owners) -> Self:
        placement = type(self).__new__(type(self))
        placement._epoch = self._epoch + 1
        placement._settle(nodes, owners)
        return placement

    def _state(self) -> dict[str, Any]:
        return {"slots": self.slots}

    @classmethod
    def _from_state(cls, nodes: list[Node], state: dict[str, Any], epoch: int) -> Self:
        return cls(nodes, state.get("slots"), epoch=epoch)


def _slots_entry(entry: Any) -> tuple[int, int, Node]:
    try:
        first, last, (host, port, node_id, *_), *_ = entry
    except (TypeError, ValueError):
        raise UsageError(
            "a reply to CLUSTER SLOTS is a list of (first, last, (host, port, id, ...), ...)"
        ) from None
    host, node_id = (each.decode() if isinstance(each, bytes) else each for each in (host, node_id))
    return first, last, Node(node_id, address=f"{host}:{port}" if host else None)


def _assigned(before: Owners, slots: Ranges) -> Owners:
    """Return the owner of each slot; ``slots`` come over those ``before``."""
    if not isinstance(slots, Mapping):
        raise UsageError("slots must say by node id which slots and ranges of slots it serves")
    told: Owners = [None] * SLOTS
    for node_id, parts in slots.items():
        for slot in _each_slot(node_id, parts):
            if told[slot] not in (None, node_id):
                raise UsageError(
                    f"slot {slot} is said to be {told[slot]!r}'s and {node_id!r}'s; leave one out"
                )
            told[slot] = node_id
    return [then if now is None else now for now, then in zip(told, before, strict=True)]


def _each_slot(node_id: str, parts: Any) -> Iterator[int]:
    if not isinstance(parts, Iterable) or isinstance(parts, str | bytes | Mapping):
        raise UsageError(f"the slots of node {node_id!r} must be a list of slots and ranges")
    for part in parts:
        pair = part if isinstance(part, tuple | list) else (part, part)
        if len(pair) != 2:
            raise UsageError(f"a range of slots of node {node_id!r} must be (first, last)")
        first = check_integer(pair[0], f"a slot of node {node_id!r}", 0, SLOTS - 1)
        yield from range(first, check_integer(pair[1], "the last slot", first, SLOTS - 1) + 1)


def _check(nodes: dict[str, Node], owners: Owners) -> None:
    for node in nodes.values():
        if node.weight != 1.0:
            raise UsageError(
                f"node {node.id!r} has weight {node.weight}, but a Redis Cluster knows no weights;"
                " its slots are its share"
            )
    if strange := sorted({each for each in owners if each is not None} - nodes.keys()):
        raise UsageError(
            f"node {strange[0]!r} serves slots but is not among the nodes; assign its slots to"
            " others first"
        )
    if nodes and None in owners:
        raise UsageError(
            f"{owners.count(None)} slots have no node, the first of them is {owners.index(None)};"
            " name a node for each"
        )


def _ranges(owners: Owners) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the owner of each run of slots, with the first and the last slot of the run."""
    start = 0
    for node_id, run in groupby(owners):
        stop = start + len(list(run))
        if node_id is not None:
            yield node_id, (start, stop - 1)
        start = stop
