"""Figures about a ring, exact because they come from its arcs and not from sampled keys."""

from __future__ import annotations

from concordant.placement.points import SPACE
from concordant.placement.ring import HashRing


def shares(ring: HashRing) -> dict[str, float]:
    """Return the share of the hash space that each node owns, by id; together 1.0."""
    sizes = dict.fromkeys(ring.nodes_by_id, 0)
    for start, end, owner_id in ring.arcs():
        if owner_id is not None:
            sizes[owner_id] += end - start
    return {node_id: size / SPACE for node_id, size in sizes.items()}
