"""Bounded loads for requests that come and go, as load balancers use them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from types import MappingProxyType

from concordant.errors import CapacityExceeded, UsageError
from concordant.placement.base import Placement
from concordant.placement.bounded.bound import (
    checked_bound,
    checked_capacities,
    checked_placement,
    room,
)
from concordant.placement.choosing import excluded_ids
from concordant.placement.keys import Key
from concordant.placement.nodes import Node, weight_units


class Balancer:
    """Hand out no node that has ``bound`` times its fair share of the load already.

    The load is what was acquired and not released yet; a node's fair share of it is its
    weight's part, and times the bound it is rounded up. A key gets the first node of its
    preference list that has room, so that as long as there is room, one key meets one node.
    While others are released, a node may keep more than its share; it then gets nothing new.
    ``capacities`` says by id how much a node can take at the very most, those that may join
    later included.

    It may be shared among threads, and used from coroutines: no call waits for anything. The
    counts are this process's own. Raises UsageError for a bound below 1.
    """

    __slots__ = (
        "_bound",
        "_capacities",
        "_loads",
        "_lock",
        "_placement",
        "_total",
        "_units",
        "_whole",
    )

    def __init__(
        self,
        placement: Placement,
        bound: float = 1.25,
        *,
        capacities: Mapping[str, int] | None = None,
    ) -> None:
        self._bound = checked_bound(bound)
        self._capacities = checked_capacities(capacities)
        self._loads: dict[str, int] = {}
        self._lock = Lock()
        self.follow(placement)

    @property
    def placement(self) -> Placement:
        """Return the placement that is followed."""
        return self._placement

    @property
    def loads(self) -> Mapping[str, int]:
        """Return the present load of each node by id, those that have left included."""
        with self._lock:
            return MappingProxyType(dict(self._loads))

    def acquire(self, key: Key, *, exclude: Iterable[str | Node] = ()) -> Node:
        """Return the node that is to serve ``key``, its load one higher until ``release``.

        ``exclude`` names nodes to pass over, such as those known to be down; fair shares are then
        those among the others. Raises CapacityExceeded, with nothing acquired, when no node has
        room: only capacities can lead to that, or the exclusion of all nodes.
        """
        # Before the lock is taken: this may run code that asks for the loads.
        named = excluded_ids(exclude)
        with self._lock:
            placement, loads = self._placement, self._loads
            down = named & placement.nodes_by_id.keys()
            whole = self._whole - sum(self._units[node_id] for node_id in down)
            count = self._total - sum(loads[node_id] for node_id in down) + 1
            for node in placement._prefer(placement._position(key)):
                if node.id in down:
                    continue
                most = self._capacities.get(node.id)
                if loads[node.id] < room(self._units[node.id], whole, count, self._bound, most):
                    loads[node.id] += 1
                    self._total += 1
                    return node
        raise CapacityExceeded(
            f"no node has room: {count - 1} are acquired on {len(placement) - len(down)} nodes; "
            "release some, raise the capacities or the bound, or add a node"
        )

    def release(self, node: Node | str) -> None:
        """Give back what ``acquire`` returned, by node or id.

        Raises UsageError when nothing of it is acquired.
        """
        node_id = node.id if isinstance(node, Node) else node
        with self._lock:
            if self._loads.get(node_id, 0) < 1:
                raise UsageError(
                    f"nothing is acquired on node {node_id!r}; release once for each acquire"
                )
            self._loads[node_id] -= 1
            if node_id in self._units:
                self._total -= 1
            elif not self._loads[node_id]:
                del self._loads[node_id]

    @contextmanager
    def serving(self, key: Key, *, exclude: Iterable[str | Node] = ()) -> Iterator[Node]:
        """Acquire a node for ``key``, and release it at the end of the block."""
        node = self.acquire(key, exclude=exclude)
        try:
            yield node
        finally:
            self.release(node)

    def follow(self, placement: Placement, *, capacities: Mapping[str, int] | None = None) -> None:
        """Go on with another placement; what is acquired stays so until it is released.

        Capacities stay as they are unless new ones are given. Raises UsageError, with nothing
        changed, for what cannot be followed.
        """
        units = {node.id: weight_units(node) for node in checked_placement(placement)}
        capped = checked_capacities(capacities)
        with self._lock:
            if capacities is not None:
                self._capacities = capped
            kept = {
                node_id: load for node_id, load in self._loads.items() if load or node_id in units
            }
            self._loads = {**dict.fromkeys(units, 0), **kept}
            self._units = units
            self._whole = sum(self._units.values())
            # The load of nodes that have left is nobody's share.
            self._total = sum(self._loads[node_id] for node_id in self._units)
            self._placement = placement
