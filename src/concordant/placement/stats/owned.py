"""How much each node owns: of the hash space, in expectation, or of keys that are given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from math import fsum
from typing import Literal

from concordant.placement.base import Placement
from concordant.placement.functions.rendezvous import Rendezvous
from concordant.placement.keys import Key
from concordant.placement.nodes import relative_weights, weight_units
from concordant.placement.tables.points import SPACE
from concordant.placement.tables.table import TablePlacement

Basis = Literal["exact", "expected", "counted"]

# Keys that come one by one are placed so many at a time.
BATCH_KEYS = 1 << 16

# Loads are over fair shares: with none below this they, and sums of them, are finite.
LEAST_SHARE = 1e-300


def shares(placement: Placement) -> dict[str, float]:
    """Return the share of all keys that each node owns, by id; together 1.0.

    Exact for tables of points. Functions of the position share out keys by weight, and chance
    alone makes a difference: there, the share is that of the weights.
    """
    if isinstance(placement, TablePlacement):
        return {node_id: size / SPACE for node_id, size in _sizes(placement).items()}
    if isinstance(placement, Rendezvous):
        units = {node.id: weight_units(node) for node in placement}
        total = sum(units.values())
        return {node_id: each / total for node_id, each in units.items()}
    return fair_shares(placement)


def fair_shares(placement: Placement) -> dict[str, float]:
    """Return the share of all weights that each node's weight is, by id; at least 1e-300."""
    weights = relative_weights(placement)
    total = fsum(weights)
    pairs = zip(placement.nodes_by_id, weights, strict=True)
    return {node_id: max(LEAST_SHARE, weight / total) for node_id, weight in pairs}


def counted(placement: Placement, keys: Iterable[Key]) -> dict[str, int]:
    """Return how many of the keys each node owns, by id; a key given twice counts twice."""
    found: Counter[int] = Counter()
    for batch in _batches(keys):
        found.update(placement.index_many(batch))
    return {node_id: found[place] for place, node_id in enumerate(placement.nodes_by_id)}


def _batches(keys: Iterable[Key]) -> Iterator[Iterable[Key]]:
    """Yield what is at hand as it is, and what comes one by one in lists of bounded size."""
    if not isinstance(keys, Iterator):
        yield keys
        return
    while batch := list(islice(keys, BATCH_KEYS)):
        yield batch


def _sizes(placement: TablePlacement) -> dict[str, int]:
    by_slot: Counter[int] = Counter()
    for start, end, slot in placement._table.arcs():
        by_slot[slot] += end - start
    sizes = dict.fromkeys(placement.nodes_by_id, 0)
    for slot, size in by_slot.items():
        sizes[placement._slots[slot].id] += size
    return sizes
