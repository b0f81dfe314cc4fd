"""Who takes over the keys of a node that leaves.

On a ring whose nodes stand where they stand whatever the others do, an arc goes to the next
other node, so that one pass over the points tells it of every leaver. Of other tables a second
one is made, without the leaver. Functions of the position spread a leaver's keys by weight, and
chance alone makes a difference; those that can lose no node but the last say so by an error.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property
from math import fsum

from concordant.placement.base import Placement
from concordant.placement.functions.jump import NumberedPlacement
from concordant.placement.stats.owned import Basis, shares
from concordant.placement.tables.modulo import ModuloRing
from concordant.placement.tables.points import SPACE
from concordant.placement.tables.ring import HashRing
from concordant.placement.tables.table import TablePlacement

# A leaver costs as much time as the table has points; all together may cost this much.
POINTS_MAX = 1 << 21
LEAVERS_MIN = 8


class Heirs(ABC):
    """Say what the others take of each node's keys, were it to leave."""

    basis: Basis = "exact"

    def __init__(self, placement: Placement) -> None:
        self._ids = list(placement.nodes_by_id)

    def to_ask(self) -> list[str]:
        """Return the ids of the nodes to ask about, to learn of all of them."""
        return self._ids

    @abstractmethod
    def of(self, leaver: str) -> dict[str, float]:
        """Return the share of its keys that each other node takes; empty if it owns none.

        Raises UsageError if it cannot leave.
        """

    def _parts(self, leaver: str, sizes: Counter[str]) -> dict[str, float]:
        total = sizes.total()
        others = (node_id for node_id in self._ids if node_id != leaver)
        return {node_id: sizes[node_id] / total for node_id in others} if total else {}


class RingHeirs(Heirs):
    """The heirs on a ring where a node's points do not depend on other nodes."""

    def __init__(self, placement: TablePlacement) -> None:
        super().__init__(placement)
        self._placement = placement

    def of(self, leaver: str) -> dict[str, float]:
        """Return what goes to the node of the next other point."""
        return self._parts(leaver, self._sizes[leaver])

    @cached_property
    def _sizes(self) -> defaultdict[str, Counter[str]]:
        table = self._placement._table
        ids = {slot: node.id for slot, node in self._placement._slots.items()}
        sizes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        if len(set(table.owners)) < 2:
            return sizes
        heirs = _next_others(table.owners)
        start = 0
        for position, slot, heir in zip(table.positions, table.owners, heirs, strict=True):
            # Behind another point at the same position, a point owns nothing: its arc has size 0.
            sizes[ids[slot]][ids[heir]] += position + 1 - start
            start = position + 1
        sizes[ids[table.owners[0]]][ids[heirs[0]]] += SPACE - start
        return sizes


def _next_others(owners: array[int]) -> array[int]:
    """Return for each point the slot of the first one behind it that is another node's."""
    heirs = array("I", owners)
    last = owners[-1]
    following = next(slot for slot in owners if slot != last)
    for index in range(len(owners) - 1, -1, -1):
        if owners[index] != last:
            following, last = last, owners[index]
        heirs[index] = following
    return heirs


class TableHeirs(Heirs):
    """The heirs of any table: by making the one without the leaver."""

    def __init__(self, placement: TablePlacement) -> None:
        super().__init__(placement)
        self._placement = placement

    def to_ask(self) -> list[str]:
        """Return all ids, or of many as many as are quickly asked, evenly chosen."""
        most = max(LEAVERS_MIN, POINTS_MAX // max(1, len(self._placement._table.owners)))
        count = min(most, len(self._ids))
        return [self._ids[number * len(self._ids) // count] for number in range(count)]

    def of(self, leaver: str) -> dict[str, float]:
        """Return what goes where when the placement goes on without the leaver."""
        if len(self._ids) < 2:
            return {}
        after = self._placement.with_nodes(remove=[leaver])
        sizes: Counter[str] = Counter()
        for start, end in self._arcs[leaver]:
            for size, slot in _owned_between(after, start, end):
                sizes[after._slots[slot].id] += size
        return self._parts(leaver, sizes)

    @cached_property
    def _arcs(self) -> defaultdict[str, list[tuple[int, int]]]:
        arcs: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for start, end, slot in self._placement._table.arcs():
            arcs[self._placement._slots[slot].id].append((start, end))
        return arcs


def _owned_between(placement: TablePlacement, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (size, slot) of what is owned from ``start`` up to but not including ``end``."""
    positions, owners = placement._table.positions, placement._table.owners
    index = bisect_left(positions, start)
    while start < end:
        within = index < len(positions)
        stop = min(end, positions[index] + 1) if within else end
        if stop > start:
            yield stop - start, owners[index if within else 0]
            start = stop
        index += 1


class ExpectedHeirs(Heirs):
    """The heirs by a function of the position: the others, in proportion to their shares."""

    basis: Basis = "expected"

    def __init__(self, placement: Placement) -> None:
        super().__init__(placement)
        self._placement = placement
        self._shares = shares(placement)

    def of(self, leaver: str) -> dict[str, float]:
        """Return what goes to each node in expectation."""
        if isinstance(self._placement, NumberedPlacement):
            # Says so if the node is not the last one, and so has no heirs.
            self._placement.with_nodes(remove=[leaver])
        left = {node_id: each for node_id, each in self._shares.items() if node_id != leaver}
        total = fsum(left.values())
        return {node_id: each / total for node_id, each in left.items()}


def heirs_of(placement: Placement) -> Heirs:
    """Return what tells the heirs in a placement."""
    if isinstance(placement, HashRing | ModuloRing):
        return RingHeirs(placement)
    if isinstance(placement, TablePlacement):
        return TableHeirs(placement)
    return ExpectedHeirs(placement)
