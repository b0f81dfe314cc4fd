"""Taking nodes from a key's preference list: over zones, and without those known to be down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from concordant.errors import UsageError
from concordant.placement.keys import check_integer
from concordant.placement.nodes import Node

ZONE = "zone"


def chosen(
    preference: Iterable[Node],
    members: Iterable[Node],
    n: int,
    spread: str | None,
    exclude: Iterable[str | Node],
) -> list[Node]:
    """Return ``n`` nodes of a preference list, which is read no further than needed.

    With ``spread="zone"`` they are taken in rounds, and no round takes two of a zone: as long as
    there are zones left without a replica, each next one goes to another zone, and with fewer
    zones than replicas no zone has two more than another that still had nodes to give. Nodes
    without a zone count as one zone together, for nothing tells that they fail apart.

    Raises UsageError when fewer than ``n`` nodes are left.
    """
    if spread not in (None, ZONE):
        raise UsageError(f"cannot spread replicas by {spread!r}; pass spread='zone', or nothing")
    down = excluded_ids(exclude)
    left = [node for node in members if node.id not in down]
    check_integer(n, f"n (at most the number of nodes{' not excluded' * bool(down)})", 0, len(left))
    up = (node for node in preference if node.id not in down)
    if spread is None:
        return [node for node, _ in zip(up, range(n), strict=False)]
    return _over_zones(up, left, n)


def excluded_ids(nodes: Iterable[str | Node]) -> set[str]:
    """Return the ids of nodes that are named by themselves or by id."""
    if isinstance(nodes, str):
        raise UsageError(f"exclude takes a list of ids, not the text {nodes!r}; wrap it in a list")
    return {node.id if isinstance(node, Node) else node for node in nodes}


def _over_zones(up: Iterator[Node], left: list[Node], n: int) -> list[Node]:
    taken: list[Node] = []
    passed: Iterator[Node] = iter(())
    while len(taken) < n:
        # A round ends with the last zone that has nodes, often long before the preference list.
        zones = {node.zone for node in left} if not taken else _zones_left(left, taken)
        served: set[str | None] = set()
        skipped: list[Node] = []
        for node in chain(passed, up):
            if node.zone in served:
                skipped.append(node)
                continue
            served.add(node.zone)
            taken.append(node)
            if len(taken) == n or len(served) == len(zones):
                break
        passed = chain(skipped, passed)
    return taken


def _zones_left(left: list[Node], taken: list[Node]) -> set[str | None]:
    gone = {node.id for node in taken}
    return {node.zone for node in left if node.id not in gone}
