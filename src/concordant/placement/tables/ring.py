"""The consistent-hash ring: which node owns a key (Karger et al., 1997).

The placement is a public format, the same in every process, version and language: ``hashing``
says how keys become positions, ``points`` where the nodes stand. Golden vectors hold it in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

from concordant.placement.base import checked_epoch
from concordant.placement.kernel_lookups import Lookup
from concordant.placement.keys import check_integer
from concordant.placement.members import changed_nodes
from concordant.placement.nodes import Node
from concordant.placement.tables.points import DEFAULT_POINTS, MAX_POINTS_PER_NODE, PointTable
from concordant.placement.tables.rearrange import rearrange
from concordant.placement.tables.table import TablePlacement


class HashRing(Lookup, TablePlacement):
    """Place keys on nodes such that a change of the nodes moves few keys.

    Each node owns close to its weight's share of the keys; with the default of 160 points for
    weight 1.0 the busiest of ten equal nodes has some 13 % above the mean. More points even that
    out, at 23 to 33 bytes each. A change moves keys to or from the changed node only;
    ``with_nodes`` computes only points that come or go, and equals a ring made of the same nodes
    from scratch.

    Raises UsageError for two nodes of one id, or when points or epoch are out of range.
    """

    __slots__ = ("_epoch", "_fingerprint", "_nodes", "_points", "_slots", "_table")

    algorithm: ClassVar[str] = "ring"
    _fields: ClassVar[frozenset[str]] = frozenset({"points"})

    def __init__(
        self, nodes: Iterable[Node] = (), points: int = DEFAULT_POINTS, *, epoch: int = 0
    ) -> None:
        check_integer(points, "points of a ring", 1, MAX_POINTS_PER_NODE)
        self._epoch = checked_epoch(epoch)
        self._points = points
        self._settle(changed_nodes({}, add=nodes), PointTable(), {})

    def _settle(self, nodes: dict[str, Node], table: PointTable, slots: Mapping[int, Node]) -> None:
        """Place these nodes, beginning with the points of the ring before."""
        self._place_by(nodes, *rearrange(table, slots, nodes, self._points))

    @property
    def points(self) -> int:
        """Return how many points a node of weight 1.0 has."""
        return self._points

    def _after(self, nodes: dict[str, Node]) -> Self:
        ring = type(self).__new__(type(self))
        ring._points, ring._epoch = self._points, self._epoch + 1
        ring._settle(nodes, self._table, self._slots)
        return ring

    def _state(self) -> dict[str, Any]:
        return {"points": self._points}

    @classmethod
    def _from_state(cls, nodes: list[Node], state: dict[str, Any], epoch: int) -> Self:
        return cls(nodes, state.get("points", DEFAULT_POINTS), epoch=epoch)

    def _about(self) -> dict[str, object]:
        return {"points": self._points}

    def __reduce__(self) -> tuple[object, ...]:
        # The points follow from the nodes; a pickle of 1000 nodes is 32 KB instead of 2 MB.
        return _restore, (tuple(self._nodes.values()), self._points, self._epoch, type(self))


def _restore(
    nodes: tuple[Node, ...], points: int, epoch: int, kind: type[HashRing] = HashRing
) -> HashRing:
    return kind(nodes, points, epoch=epoch)
