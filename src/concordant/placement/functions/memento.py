"""MementoHash as a placement: numbered nodes, of which any may leave."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self

from concordant.errors import UsageError
from concordant.placement.base import Placement, checked_epoch
from concordant.placement.digest import digest_of
from concordant.placement.functions.jump_lookup import each_once
from concordant.placement.functions.memento_lookup import KEPT, memento
from concordant.placement.functions.numbering import numbered
from concordant.placement.kernel_lookups import MementoLookup
from concordant.placement.members import changed_nodes
from concordant.placement.nodes import Node, check_alike


class Buckets(NamedTuple):
    """Which node has which bucket, and which buckets were removed.

    ``ids`` has None for a removed bucket; ``removed`` are their numbers, the last removed last.
    The last bucket is never removed while no other is: there is then simply one fewer.
    """

    ids: tuple[str | None, ...] = ()
    removed: tuple[int, ...] = ()

    def without(self, node_id: str) -> Buckets:
        """Return the buckets after a node has left."""
        ids = list(self.ids)
        bucket = ids.index(node_id)
        ids[bucket] = None
        if len(ids) == len(self.removed) + 1:
            return Buckets()
        if not self.removed and bucket == len(ids) - 1:
            return Buckets(tuple(ids[:-1]))
        return Buckets(tuple(ids), (*self.removed, bucket))

    def including(self, node_id: str) -> Buckets:
        """Return the buckets with one node more: it takes the bucket that was removed last."""
        if not self.removed:
            return Buckets((*self.ids, node_id))
        ids = list(self.ids)
        ids[self.removed[-1]] = node_id
        return Buckets(tuple(ids), self.removed[:-1])

    def replaced(self) -> array[int]:
        """Return for each bucket how many were left after its removal, or ``KEPT``."""
        replaced = array("i", [KEPT]) * len(self.ids)
        for count, bucket in enumerate(self.removed, start=1):
            replaced[bucket] = len(self.ids) - count
        return replaced


class Memento(MementoLookup, Placement):
    """Place keys in equal shares, exact but for chance; any node may leave or come back.

    A node that leaves gives its keys to all others alike, one that joins takes its share from
    all, and no other key moves. A look-up takes some steps more for each halving of the nodes.

    The placement depends on what was removed before, and in which order: processes that are to
    agree must share it, as JSON, and not just the list of nodes. From scratch, buckets are
    numbered by ascending id, numbers in ids counting as numbers; ``with_nodes`` removes, then
    adds, in that order, and a node that is added takes the bucket that was removed last.

    Raises UsageError for weights that differ, or for two nodes of one id.
    """

    __slots__ = ("_buckets", "_epoch", "_fingerprint", "_left", "_nodes", "_replaced")

    algorithm: ClassVar[str] = "memento"
    _fields: ClassVar[frozenset[str]] = frozenset({"buckets", "removed"})

    def __init__(self, nodes: Iterable[Node] = (), *, epoch: int = 0) -> None:
        self._epoch = checked_epoch(epoch)
        members = changed_nodes({}, add=nodes)
        self._settle(members, Buckets(tuple(numbered(members))))

    def _settle(self, nodes: dict[str, Node], buckets: Buckets) -> None:
        check_alike(nodes.values(), "MementoHash")
        self._nodes, self._buckets = nodes, buckets
        self._fingerprint = None
        self._replaced = buckets.replaced()
        self._left = {
            bucket: nodes[node_id]
            for bucket, node_id in enumerate(buckets.ids)
            if node_id is not None
        }
        place_of: dict[str | None, int] = {node_id: at for at, node_id in enumerate(nodes)}
        index_of = array("i", [place_of.get(node_id, -1) for node_id in buckets.ids])
        self._arm(self._replaced, index_of, tuple(nodes.values()))

    @property
    def buckets(self) -> tuple[str | None, ...]:
        """Return the ids of the nodes by the number of their bucket; None for a removed one."""
        return self._buckets.ids

    @property
    def removed(self) -> tuple[int, ...]:
        """Return the numbers of the removed buckets, the last removed last."""
        return self._buckets.removed

    def _after(self, nodes: dict[str, Node]) -> Self:
        buckets = self._buckets
        for node_id in numbered(self._nodes.keys() - nodes.keys()):
            buckets = buckets.without(node_id)
        for node_id in numbered(nodes.keys() - self._nodes.keys()):
            buckets = buckets.including(node_id)
        return self._made(nodes, buckets, self._epoch + 1)

    @classmethod
    def _made(cls, nodes: dict[str, Node], buckets: Buckets, epoch: int) -> Self:
        placement = cls.__new__(cls)
        placement._epoch = checked_epoch(epoch)
        placement._settle(nodes, buckets)
        return placement

    def _prefer(self, position: int) -> Iterator[Node]:
        for bucket in each_once(position, self._left, partial(memento, replaced=self._replaced)):
            yield self._left[bucket]

    def _digest(self) -> str:
        # What a removed bucket was is told by the numbers alone.
        if len(self) <= 1:
            return digest_of((b"memento", *(node.id.encode("utf-8") for node in self)))
        ids = ((each or "").encode("utf-8") for each in self._buckets.ids)
        removed = (b"%d" % bucket for bucket in self._buckets.removed)
        return digest_of((b"memento", b"xxh64", *ids, b"", *removed))

    def _state(self) -> dict[str, Any]:
        return {"buckets": list(self._buckets.ids), "removed": list(self._buckets.removed)}

    @classmethod
    def _from_state(cls, nodes: list[Node], state: dict[str, Any], epoch: int) -> Self:
        members = changed_nodes({}, add=nodes)
        if not state.keys() & cls._fields:
            return cls._made(members, Buckets(tuple(numbered(members))), epoch)
        ids, removed = state.get("buckets"), state.get("removed", [])
        return cls._made(members, _checked_buckets(members, ids, removed), epoch)


def _checked_buckets(nodes: dict[str, Node], ids: object, removed: object) -> Buckets:
    """Return the buckets that a text names; raises UsageError unless they could have come to be."""
    if not isinstance(ids, list) or not isinstance(removed, list):
        raise UsageError("the buckets of a Memento's JSON are a list of ids, and those removed too")
    if not all(each is None or isinstance(each, str) for each in ids):
        raise UsageError("each of the buckets in a Memento's JSON is the id of a node, or null")
    named = [each for each in ids if each is not None]
    if len(named) != len(nodes) or set(named) != nodes.keys():
        raise UsageError("the buckets of a Memento's JSON must name each node once, and no other")
    empty = {bucket for bucket, each in enumerate(ids) if each is None}
    if (
        not all(type(bucket) is int for bucket in removed)
        or len(removed) != len(empty)
        or set(removed) != empty
        or (removed and (not named or removed[0] == len(ids) - 1))
    ):
        raise UsageError(
            "the removed buckets of a Memento's JSON must be those that are null, in the order of "
            "their removal, the first not being the last bucket"
        )
    return Buckets(tuple(ids), tuple(removed))
