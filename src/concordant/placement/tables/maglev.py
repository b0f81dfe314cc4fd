"""Maglev hashing (Eisenbud et al., NSDI 2016): a look-up table that all nodes fill by turns."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from heapq import heapreplace
from math import isqrt
from typing import Any, ClassVar, Self

from concordant.errors import UsageError
from concordant.placement.base import checked_epoch
from concordant.placement.hashing.xxh64 import xxh64
from concordant.placement.kernel_lookups import Lookup
from concordant.placement.keys import check_integer
from concordant.placement.members import changed_nodes
from concordant.placement.nodes import Node, weight_units
from concordant.placement.tables.table import TablePlacement, evenly

DEFAULT_SIZE = 65537
MAX_SIZE = 1 << 20
_FREE = (1 << 32) - 1


class Maglev(Lookup, TablePlacement):
    """Place keys by a table whose entries the nodes take in turns, each in an order of its own.

    Shares are within one entry of the weights' for equal weights, and close to them for others;
    no node has less than one entry. A change moves about the fewest keys, but a few others,
    too: some entries change between nodes that stay. The table is always filled anew, and does
    not depend on the nodes before; it is for balancers that need the most even spread without
    any shared state. Use HashRing, Rendezvous or Slots where a needless move is dear.

    ``size`` is a prime, at least the number of nodes. Weights count in millionths, as for
    Rendezvous. Raises UsageError for other sizes or weights, or two nodes of one id.
    """

    __slots__ = ("_epoch", "_fingerprint", "_nodes", "_size", "_slots", "_table")

    algorithm: ClassVar[str] = "maglev"
    _fields: ClassVar[frozenset[str]] = frozenset({"size"})

    def __init__(
        self, nodes: Iterable[Node] = (), size: int = DEFAULT_SIZE, *, epoch: int = 0
    ) -> None:
        if not _is_prime(check_integer(size, "size of a Maglev table", 2, MAX_SIZE)):
            raise UsageError(f"the size of a Maglev table must be a prime, and {size} is none")
        self._epoch = checked_epoch(epoch)
        self._size = size
        self._settle(changed_nodes({}, add=nodes))

    def _settle(self, nodes: dict[str, Node]) -> None:
        if len(nodes) > self._size:
            raise UsageError(
                f"{len(nodes)} nodes cannot share a Maglev table of {self._size} entries; "
                "choose a larger prime as its size"
            )
        owners = _filled(list(nodes.values()), self._size)
        self._place_by(nodes, evenly(owners), dict(enumerate(nodes.values())))

    @property
    def size(self) -> int:
        """Return the number of entries of the table."""
        return self._size

    def _after(self, nodes: dict[str, Node]) -> Self:
        placement = type(self).__new__(type(self))
        placement._size, placement._epoch = self._size, self._epoch + 1
        placement._settle(nodes)
        return placement

    def _state(self) -> dict[str, Any]:
        return {"size": self._size}

    @classmethod
    def _from_state(cls, nodes: list[Node], state: dict[str, Any], epoch: int) -> Self:
        return cls(nodes, state.get("size", DEFAULT_SIZE), epoch=epoch)

    def _about(self) -> dict[str, object]:
        return {"size": self._size}


def _filled(nodes: list[Node], size: int) -> array[int]:
    """Return the table: the place of the node that took each entry; empty without nodes."""
    if not nodes:
        return array("I")
    units = [weight_units(node) for node in nodes]
    whole = max(units)
    owners = array("I", [_FREE]) * size
    entries, skips = zip(*(_order(node, size) for node in nodes), strict=True)
    following = list(entries)
    # Turn t of a node is in the first round in which its weight has added up to t of the
    # greatest: everybody's first turn is in the first round, so none vanishes.
    turns = [0] * len(nodes)
    due = [(0, place) for place in range(len(nodes))]
    for _ in range(size):
        place = due[0][1]
        turns[place] += 1
        heapreplace(due, (-(-turns[place] * whole // units[place]), place))
        entry, skip = following[place], skips[place]
        while owners[entry] != _FREE:
            entry = (entry + skip) % size
        owners[entry] = place
        following[place] = entry
    return owners


def _order(node: Node, size: int) -> tuple[int, int]:
    """Return the entry that a node takes first, and how far its next ones are apart."""
    node_id = node.id.encode("utf-8")
    return xxh64(node_id + b"\0offset") % size, xxh64(node_id + b"\0skip") % (size - 1) + 1


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, isqrt(number) + 1))
