"""The consistent-hash ring: which node owns a key (Karger et al., 1997).

The placement is a public format, the same in every process, version and language: ``hashing``
says how keys become positions, ``points`` where the nodes stand. Golden vectors hold it in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

from concordant.errors import UsageError
from concordant.placement.change import by_slot, changed_nodes, rearrange
from concordant.placement.fingerprint import fingerprint
from concordant.placement.kernel import native
from concordant.placement.keys import check_integer
from concordant.placement.nodes import Node
from concordant.placement.plan import Plan, plan_between
from concordant.placement.points import (
    DEFAULT_POINTS,
    MAX_POINTS_PER_NODE,
    SPACE,
    Arc,
    PointTable,
)
from concordant.placement.ring_json import dump_ring, load_ring

if TYPE_CHECKING or native is None:
    from concordant.placement.lookup import Lookup
else:
    Lookup = native.Lookup

# The largest integer that every reader of JSON keeps exact.
_MAX_EPOCH = (1 << 53) - 1


class HashRing(Lookup):
    """Place keys on nodes such that a change of the nodes moves few keys.

    Each node owns close to its weight's share of the keys; with the default of 160 points for
    weight 1.0 the busiest of ten equal nodes has some 10 % above the mean. More points even that
    out, at 12 bytes each.

    A ring never changes; ``with_nodes`` makes a new one. It may be shared among threads, pickled,
    and used as a key: two rings are equal when they place every key alike, as their fingerprints
    tell. Addresses, zones and the epoch are not placement.

    A ring may be empty, as a cluster may have lost its last member. Only a look-up needs a node.
    Raises UsageError for two nodes of one id, or when points or epoch are out of range.
    """

    __slots__ = ("_epoch", "_fingerprint", "_nodes", "_points", "_slots", "_table")

    def __init__(
        self, nodes: Iterable[Node] = (), points: int = DEFAULT_POINTS, *, epoch: int = 0
    ) -> None:
        check_integer(points, "points of a ring", 1, MAX_POINTS_PER_NODE)
        check_integer(epoch, "epoch of a ring", 0, _MAX_EPOCH)
        self._points = points
        self._epoch = epoch
        self._settle(changed_nodes({}, add=nodes), PointTable(), {})

    def _settle(self, nodes: dict[str, Node], table: PointTable, slots: Mapping[int, Node]) -> None:
        """Place these nodes, beginning with the points of the ring before."""
        self._nodes = nodes
        self._fingerprint: str | None = None
        self._table, self._slots = rearrange(table, slots, nodes, self._points)
        self._arm(self._table.positions, self._table.owners, *by_slot(self._slots, nodes))

    @property
    def points(self) -> int:
        """Return how many points a node of weight 1.0 has."""
        return self._points

    @property
    def epoch(self) -> int:
        """Return how many changes led to this ring, to tell an older one from a newer one."""
        return self._epoch

    @property
    def nodes_by_id(self) -> Mapping[str, Node]:
        """Return a read-only view of the nodes, in the order of their ids."""
        return MappingProxyType(self._nodes)

    def with_nodes(
        self,
        add: Iterable[Node] = (),
        remove: Iterable[str] = (),
        reweight: Mapping[str, float] | None = None,
    ) -> HashRing:
        """Return a new ring with the change applied and the epoch one higher.

        It equals a ring made of the same nodes from scratch, but only points that come or go are
        computed. Removing and adding one id in the same call replaces its node. Raises
        UsageError when an id to add is there already, or one to remove or reweight is not.
        """
        ring = HashRing.__new__(HashRing)
        ring._points, ring._epoch = self._points, self._epoch + 1
        ring._settle(changed_nodes(self._nodes, add, remove, reweight), self._table, self._slots)
        return ring

    def plan(self, other: HashRing) -> Plan:
        """Return what moves where when ``other`` takes the place of this ring."""
        return plan_between(self, other)

    def arcs(self) -> Iterator[Arc]:
        """Yield who owns what, in ascending arcs that cover the hash space exactly once."""
        if not self._nodes:
            yield Arc(0, SPACE, None)
        for start, end, slot in self._table.arcs():
            yield Arc(start, end, self._slots[slot].id)

    def fingerprint(self) -> str:
        """Return 32 hexadecimal digits that are equal if and only if the placement is.

        Placement means the whole preference list of every key, so that two processes with the
        same fingerprint agree on each ``node`` and each ``nodes``.
        """
        if self._fingerprint is None:
            id_of = {slot: node.id for slot, node in self._slots.items()}
            self._fingerprint = fingerprint(self._table, id_of)
        return self._fingerprint

    def to_json(self) -> str:
        """Return the ring as JSON text, addresses and fingerprint included."""
        return dump_ring(self._nodes.values(), self._points, self._epoch, self.fingerprint())

    @classmethod
    def from_json(cls, text: str) -> HashRing:
        """Return the ring that ``to_json`` wrote, checked against the fingerprint if it has one.

        Raises UsageError for anything that is not such a ring, unknown fields included: a
        misspelt weight must not place keys silently.
        """
        loaded = load_ring(text)
        ring = cls(loaded.nodes, loaded.points, epoch=loaded.epoch)
        if loaded.fingerprint not in (None, ring.fingerprint()):
            raise UsageError(
                f"the ring's JSON says fingerprint {loaded.fingerprint}, its nodes give "
                f"{ring.fingerprint()}; drop the field if the nodes were edited on purpose"
            )
        return ring

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, item: object) -> bool:
        if isinstance(item, Node):
            return self._nodes.get(item.id) == item
        return item in self._nodes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HashRing):
            return NotImplemented
        return self.fingerprint() == other.fingerprint()

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    def __reduce__(self) -> tuple[object, ...]:
        # The points follow from the nodes; a pickle of 1000 nodes is 32 KB instead of 2 MB.
        return _restore, (tuple(self._nodes.values()), self._points, self._epoch)

    def __repr__(self) -> str:
        names = ", ".join(islice(map(repr, self._nodes), 4)) + (", ..." if len(self) > 4 else "")
        return (
            f"<HashRing of {len(self)} nodes [{names}] points={self._points} "
            f"epoch={self._epoch} fingerprint={self.fingerprint()}>"
        )


def _restore(nodes: tuple[Node, ...], points: int, epoch: int) -> HashRing:
    return HashRing(nodes, points, epoch=epoch)
