"""The fewest copies that have to move for a change of weights."""

from __future__ import annotations

from collections.abc import Iterable
from math import fsum

from concordant.placement.nodes import Node, relative_weights


def minimum_share(old: Iterable[Node], new: Iterable[Node], replicas: int) -> float:
    """Return the share of copies that must move, were all nodes loaded in exact proportion."""
    before, after = copy_shares(list(old), replicas), copy_shares(list(new), replicas)
    least = fsum(max(0.0, share - before.get(owner, 0.0)) for owner, share in after.items())
    return min(1.0, least)  # shares are rounded, and may come to more than all together


def copy_shares(nodes: list[Node], replicas: int) -> dict[str | None, float]:
    """Return each node's share of all copies by its weight.

    No node has more than one copy of a key, so none has more than 1 / replicas of all copies;
    the others have what is left, by their weights.
    """
    if not nodes:
        return {None: 1.0}
    shares: dict[str | None, float] = {}
    rest, left = sorted(nodes, key=lambda node: -node.weight), 1.0
    while rest:
        weights = relative_weights(rest)
        total = fsum(weights)
        most = 1.0 / replicas
        # Beyond rounding: of three equal nodes with three replicas each has all.
        if weights[0] / total * left <= most * (1 + 1e-12):
            pairs = zip(rest, weights, strict=True)
            shares.update((node.id, weight / total * left) for node, weight in pairs)
            break
        shares[rest.pop(0).id] = most
        left -= most
    return shares
