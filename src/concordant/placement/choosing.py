"""Taking nodes from a key's preference list: over zones, and without those known to be down."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice

from concordant.errors import UsageError
from concordant.placement.keys import check_integer
from concordant.placement.members import named_ids
from concordant.placement.nodes import Node

ZONE = "zone"


def chosen(
    preference: Iterable[Node],
    members: Mapping[str, Node],
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
    check_spread(spread)
    down = excluded_ids(exclude)
    left = len(members) - sum(node_id in members for node_id in down)
    check_integer(n, f"n (at most the number of nodes{' not excluded' * bool(down)})", 0, left)
    up = (node for node in preference if node.id not in down)
    if spread is None:
        return list(islice(up, n))
    return over_zones(up, zone_sizes(members.values(), down), n)


def check_spread(spread: str | None) -> None:
    """Raise UsageError unless replicas can be spread so."""
    if spread not in (None, ZONE):
        raise UsageError(f"cannot spread replicas by {spread!r}; pass spread='zone', or nothing")


def excluded_ids(nodes: Iterable[str | Node]) -> set[str]:
    """Return the ids of nodes that are named by themselves or by id.

    Raises UsageError for what is no list of these.
    """
    return set(named_ids(nodes, "exclude"))


def zone_sizes(nodes: Iterable[Node], down: Collection[str] = ()) -> Counter[str | None]:
    """Return how many nodes each zone has, without those that are down."""
    return Counter(node.zone for node in nodes if node.id not in down)


def over_zones(up: Iterator[Node], sizes: Counter[str | None], n: int) -> list[Node]:
    """Take rounds: the node of a zone that comes up as its number r belongs to round r.

    ``sizes`` says how many nodes each zone has; together they are at least ``n``.
    """
    if not n:
        return []
    met: Counter[str | None] = Counter()
    rounds: defaultdict[int, list[Node]] = defaultdict(list)
    taken: list[Node] = []
    number, zones = 0, len(sizes)
    for node in up:
        rounds[met[node.zone]].append(node)
        met[node.zone] += 1
        # A round ends with the last zone that has nodes, often long before the preference list.
        while number in rounds and len(rounds[number]) == zones:
            taken += rounds.pop(number)
            number += 1
            zones = sum(size > number for size in sizes.values())
        if len(taken) + len(rounds[number]) >= n:
            break
    return [*taken, *rounds[number]][:n]
