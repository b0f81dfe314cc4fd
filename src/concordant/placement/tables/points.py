"""The points of a ring: where each node stands in the hash space.

A node of weight w has max(1, round(w * points)) points, the product being an IEEE double and
halves going to the even number. Point i is the XXH64 of the id's UTF-8, a NUL and i in decimal
ASCII. No other node has a say in it, so a change of one node moves keys only to or from that
node, and a smaller weight keeps a prefix of the points of a larger one.

A position belongs to the first point at or after it, wrapping at 2**64. Points are ordered by
(position, id), so of two points at one position the smaller id comes first; ids compare by code
point, which is the order of their UTF-8.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from concordant.errors import UsageError
from concordant.placement.hashing.xxh64 import xxh64
from concordant.placement.kernel import native
from concordant.placement.nodes import Node

SPACE = 1 << 64
DEFAULT_POINTS = 160
MAX_POINTS_PER_NODE = 1_000_000

Point = tuple[int, str, int]
"""(position, node id, slot): sorts in the order of the ring."""


class Arc(NamedTuple):
    """A stretch of the hash space, from ``start`` up to but not including ``end``.

    Its owner is None where the ring is empty.
    """

    start: int
    end: int
    owner_id: str | None


def point_count(node: Node, points: int) -> int:
    """Return how many points ``node`` has when weight 1.0 stands for ``points``.

    Raises UsageError above 1 000 000, which a weight meant as bytes or requests would reach.
    """
    exact = node.weight * points
    if exact > MAX_POINTS_PER_NODE:
        raise UsageError(
            f"node {node.id!r} would have {exact:.0f} points (weight {node.weight} x {points}), "
            f"more than {MAX_POINTS_PER_NODE}; scale all weights down"
        )
    return max(1, round(exact))


class Stretch(NamedTuple):
    """The points of a node with numbers from ``start`` up to but not including ``stop``."""

    node_id: str
    slot: int
    start: int
    stop: int

    def points(self) -> list[Point]:
        """Return the points."""
        prefix, numbers = self.node_id.encode("utf-8") + b"\0", range(self.start, self.stop)
        return [(xxh64(prefix + b"%d" % number), self.node_id, self.slot) for number in numbers]


class PointTable:
    """Hold sorted positions and, parallel to them, the slot of the node at each.

    Nodes are meant by slot, a small number that a node keeps for as long as it is in the ring,
    so that editing a few points copies the others as memory and never renumbers them.
    Tables are never changed after they are built.
    """

    __slots__ = ("owners", "positions")

    def __init__(self) -> None:
        self.positions = array("Q")
        self.owners = array("I")

    def clockwise(self, position: int) -> Iterator[int]:
        """Yield every slot once, in the order in which its points follow ``position``."""
        return clockwise(self.owners, bisect_left(self.positions, position))

    def arcs(self) -> Iterator[tuple[int, int, int]]:
        """Yield (start, end, slot) of ascending half-open arcs that cover the space once."""
        start = 0
        for position, slot in zip(self.positions, self.owners, strict=True):
            # Behind another point at the same position, a point owns nothing.
            if position >= start:
                yield start, position + 1, slot
                start = position + 1
        if self.owners and start < SPACE:
            yield start, SPACE, self.owners[0]

    def without(self, points: Iterable[Point]) -> PointTable:
        """Return a table that lacks ``points``, each of which must be in this one."""
        table = PointTable()
        done = 0
        for position, _, slot in sorted(points):
            index = bisect_left(self.positions, position, done)
            while self.owners[index] != slot:
                index += 1
            table._copy(self, done, index)
            done = index + 1
        table._copy(self, done, len(self.owners))
        return table

    def including(self, points: Iterable[Point], id_of: Mapping[int, str]) -> PointTable:
        """Return a table that also has ``points``; ``id_of`` names the node of every slot."""
        table = PointTable()
        done, size = 0, len(self.owners)
        for position, node_id, slot in sorted(points):
            index = bisect_left(self.positions, position, done)
            while (
                index < size
                and self.positions[index] == position
                and id_of[self.owners[index]] < node_id
            ):
                index += 1
            table._copy(self, done, index)
            table.positions.append(position)
            table.owners.append(slot)
            done = index
        table._copy(self, done, size)
        return table

    def _copy(self, source: PointTable, start: int, stop: int) -> None:
        if start < stop:
            self.positions.extend(source.positions[start:stop])
            self.owners.extend(source.owners[start:stop])


def clockwise(owners: array[int], first: int) -> Iterator[int]:
    """Yield every slot once, in the order in which its points follow the one at ``first``."""
    seen: set[int] = set()
    for index in range(first - len(owners), first):
        slot = owners[index]  # negative up to the wrap, which is what Python does anyway
        if slot not in seen:
            seen.add(slot)
            yield slot


def edited(
    table: PointTable,
    leaving: list[Stretch],
    coming: list[Stretch],
    id_of: Mapping[int, str],
) -> PointTable:
    """Return a table without some points and with others; ``id_of`` names every slot then."""
    if native is None:
        less = table.without(point for stretch in leaving for point in stretch.points())
        more = [point for stretch in coming for point in stretch.points()]
        return less.including(more, id_of)
    slots = [*id_of, *(stretch.slot for stretch in leaving)]
    ranks = array("I", bytes(4 * (max(slots, default=-1) + 1)))
    for rank, slot in enumerate(sorted(id_of, key=id_of.__getitem__)):
        ranks[slot] = rank
    made = PointTable()
    made.positions, made.owners = native.rearranged(
        table.positions, table.owners, leaving, coming, ranks
    )
    return made
