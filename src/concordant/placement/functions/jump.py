"""Jump consistent hash as a placement: numbered nodes, of which the last may leave."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from concordant.errors import UsageError
from concordant.placement.base import Placement, checked_epoch
from concordant.placement.digest import digest_of
from concordant.placement.functions.jump_lookup import JumpLookup as Twin
from concordant.placement.functions.jump_lookup import each_once, jump
from concordant.placement.functions.numbering import numbered
from concordant.placement.hashing.named import INT, int_position
from concordant.placement.kernel_lookups import JumpLookup
from concordant.placement.keys import Key
from concordant.placement.members import changed_nodes
from concordant.placement.nodes import Node, check_alike


class NumberedPlacement(Placement):
    """Place keys on buckets, numbered from 0, each of which is a node's."""

    __slots__ = ()

    _fields: ClassVar[frozenset[str]] = frozenset({"buckets"})

    if TYPE_CHECKING:
        _buckets: tuple[str, ...]

    def __init__(
        self, nodes: Iterable[Node] = (), *, buckets: Sequence[str] | None = None, epoch: int = 0
    ) -> None:
        self._epoch = checked_epoch(epoch)
        members = changed_nodes({}, add=nodes)
        self._settle(members, _checked_buckets(members, buckets))

    def _arm(self, index_of: array[int], order: Sequence[Node]) -> None:
        """Take the tables; the look-up beside this class does."""
        super()._arm(index_of, order)  # type: ignore[misc]

    def _settle(self, nodes: dict[str, Node], buckets: tuple[str, ...]) -> None:
        check_alike(nodes.values(), "jump hash")
        self._nodes, self._buckets = nodes, buckets
        self._fingerprint = None
        place_of = {node_id: place for place, node_id in enumerate(nodes)}
        self._arm(array("i", [place_of[each] for each in buckets]), tuple(nodes.values()))

    @property
    def buckets(self) -> tuple[str, ...]:
        """Return the ids of the nodes by the number of their bucket."""
        return self._buckets

    def _after(self, nodes: dict[str, Node]) -> Self:
        placement = type(self).__new__(type(self))
        placement._epoch = self._epoch + 1
        placement._settle(nodes, _refilled(self._buckets, nodes))
        return placement

    def _prefer(self, position: int) -> Iterator[Node]:
        buckets = range(len(self._buckets))
        found = each_once(position, buckets, partial(jump, buckets=len(buckets)))
        return (self._nodes[self._buckets[bucket]] for bucket in found)

    def _digest(self) -> str:
        ids = (node_id.encode("utf-8") for node_id in self._buckets)
        return digest_of((b"jump", self.hash_name.encode("ascii"), *ids))

    def _state(self) -> dict[str, Any]:
        return {"buckets": list(self._buckets)}

    @classmethod
    def _from_state(cls, nodes: list[Node], state: dict[str, Any], epoch: int) -> Self:
        return cls(nodes, buckets=state.get("buckets"), epoch=epoch)


class Jump(JumpLookup, NumberedPlacement):
    """Place keys by jump consistent hash: equal shares, no memory, no removal but of the last.

    Each node has a numbered bucket, and the numbers are part of the placement: at first by
    ascending id, numbers in ids counting as numbers (``shard-10`` follows ``shard-9``), or as
    ``buckets`` lists the ids. ``with_nodes`` appends what is added, in the same order; what is
    removed must be the last buckets, or be replaced in the same call, so that a new node takes the
    bucket of an old one and no other key moves. A node that joins takes its share from all others
    alike.

    Raises UsageError for weights that differ, when a bucket in the middle would be left empty,
    when ``buckets`` are not the ids of the nodes, or for two nodes of one id.
    """

    __slots__ = ("_buckets", "_epoch", "_fingerprint", "_nodes")

    algorithm: ClassVar[str] = "jump"


class IntJump(Twin, NumberedPlacement):
    """Place keys that are hashes already, as other packages of jump hash take them.

    A key is an int and is taken modulo 2**64 as it is; the rest is as for ``Jump``.
    """

    __slots__ = ("_buckets", "_epoch", "_fingerprint", "_nodes")

    algorithm: ClassVar[str] = "int-jump"

    @property
    def hash_name(self) -> str:
        """Return the name of the hash by which keys become positions."""
        return INT

    def _position(self, key: Key) -> int:
        return int_position(key)


def _checked_buckets(nodes: dict[str, Node], buckets: Sequence[str] | None) -> tuple[str, ...]:
    if buckets is None:
        return tuple(numbered(nodes))
    if not isinstance(buckets, list | tuple) or not all(isinstance(each, str) for each in buckets):
        raise UsageError("buckets must be a list of the ids of all nodes, by bucket")
    if len(buckets) != len(nodes) or set(buckets) != nodes.keys():
        raise UsageError("buckets must name each node once, and no other")
    return tuple(buckets)


def _refilled(before: tuple[str, ...], nodes: dict[str, Node]) -> tuple[str, ...]:
    """Return the buckets when these are the nodes: new ones fill gaps, then append."""
    there = set(before)
    coming = numbered(node_id for node_id in nodes if node_id not in there)[::-1]
    buckets = [each if each in nodes else coming.pop() if coming else None for each in before]
    while buckets and buckets[-1] is None:
        buckets.pop()
    filled = [each for each in buckets if each is not None]
    if len(filled) < len(buckets):
        gone = before[buckets.index(None)]
        raise UsageError(
            f"jump hash cannot lose node {gone!r}: only the last bucket, {before[-1]!r}, may "
            "leave; add another node in the same call to take its bucket, or use Memento"
        )
    return (*filled, *reversed(coming))
