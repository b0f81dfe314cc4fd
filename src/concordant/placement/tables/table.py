"""Placements that are a table of points, each of which owns the hash space up to it."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from concordant.placement.base import Placement
from concordant.placement.hashing.named import spread_out
from concordant.placement.nodes import Node
from concordant.placement.tables.fingerprint import fingerprint
from concordant.placement.tables.points import SPACE, Arc, PointTable
from concordant.placement.tables.rearrange import by_slot


class TablePlacement(Placement):
    """Place keys by the first point at or after their position.

    What is derived from it stands beside ``Lookup``, and settles its table once.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        _table: PointTable
        _slots: Mapping[int, Node]

    @abstractmethod
    def _arm(
        self, positions: array[int], owners: array[int], index_of: array[int], order: Sequence[Node]
    ) -> None:
        """Take the tables for look-ups."""

    def _place_by(
        self, nodes: dict[str, Node], table: PointTable, slots: Mapping[int, Node]
    ) -> None:
        """Take the nodes, the points, and the node of each slot that the points mean."""
        self._nodes, self._table, self._slots = nodes, table, slots
        self._fingerprint = None
        self._arm(table.positions, table.owners, *by_slot(slots, nodes))

    def _prefer(self, position: int) -> Iterator[Node]:
        return map(self._slots.__getitem__, self._table.clockwise(position))

    def arcs(self) -> Iterator[Arc]:
        """Yield who owns what, in ascending arcs that cover the hash space exactly once."""
        if not self._nodes:
            yield Arc(0, SPACE, None)
        for start, end, slot in self._table.arcs():
            yield Arc(start, end, self._slots[slot].id)

    def _digest(self) -> str:
        id_of = {slot: node.id for slot, node in self._slots.items()}
        return fingerprint(self._table, id_of, self.hash_name)


def evenly(owners: array[int]) -> PointTable:
    """Return the table in which each owner has one of as many equal parts of the hash space."""
    table = PointTable()
    if owners:
        table.positions, table.owners = _ends(len(owners)), owners
    return table


@lru_cache(maxsize=8)
def _ends(parts: int) -> array[int]:
    """Return the last position of each part; shared, since tables never change."""
    return array("Q", (spread_out(part + 1, parts) - 1 for part in range(parts)))
