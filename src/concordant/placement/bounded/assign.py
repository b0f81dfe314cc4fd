"""Bounded loads for a set of keys that is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from concordant.errors import CapacityExceeded
from concordant.placement.base import Placement
from concordant.placement.bounded.bound import (
    checked_bound,
    checked_capacities,
    checked_placement,
    room,
)
from concordant.placement.keys import Key, key_bytes
from concordant.placement.nodes import Node, weight_units
from concordant.placement.placer import each_key


def assign(
    placement: Placement,
    keys: Iterable[Key],
    bound: float = 1.25,
    *,
    capacities: Mapping[str, int] | None = None,
) -> list[Node]:
    """Return the node of each key such that none has more than ``bound`` times its fair share.

    A node's fair share is its weight's part of the distinct keys; times the bound, it is rounded
    up. Each key goes to the first node of its preference list that has room, in the order of
    their positions, so the outcome does not depend on the order of ``keys``. A key that occurs
    twice counts once. ``capacities`` says by id how many keys a node can take at the very most;
    ids that are not here do no harm.

    Most keys are where the placement alone would put them, and most stay when keys or nodes
    change, but not all: who takes what does not fit depends on the others (Mirrokni, Thorup,
    Zadimoghaddam, 2018). Raises CapacityExceeded when the capacities leave too little room, alone
    or together with the bound, and UsageError for a bound below 1.
    """
    limit = checked_bound(bound)
    checked_placement(placement)
    capped = checked_capacities(capacities)
    given = each_key(keys)
    positions = [placement._position(key) for key in given]
    names = [key_bytes(key) for key in given]
    distinct = dict(zip(names, given, strict=True))
    units = {node.id: weight_units(node) for node in placement}
    whole = sum(units.values())
    left = {
        node_id: room(each, whole, len(distinct), limit, capped.get(node_id))
        for node_id, each in units.items()
    }
    _check_room(left, len(distinct), capped)
    first = dict(zip(distinct, placement.node_many(list(distinct.values())), strict=True))
    taken: dict[bytes, Node] = {}
    position_of = dict(zip(names, positions, strict=True))
    for name in sorted(distinct, key=lambda name: (position_of[name], name)):
        node = first[name]
        if not left[node.id]:
            node = next(each for each in placement._prefer(position_of[name]) if left[each.id])
        left[node.id] -= 1
        taken[name] = node
    return [taken[name] for name in names]


def _check_room(left: dict[str, int], count: int, capacities: Mapping[str, int]) -> None:
    if capacities and sum(left.values()) < count:
        raise CapacityExceeded(
            f"{count} keys are to be placed, and the nodes have room for {sum(left.values())}: "
            "raise the capacities or the bound, or add a node"
        )
