"""The plan between two placements: by their ranges, or by asking both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from concordant.errors import UsageError
from concordant.placement.base import Placement
from concordant.placement.choosing import check_spread, over_zones, zone_sizes
from concordant.placement.keys import check_integer
from concordant.placement.plan.asked import AskedPlan
from concordant.placement.plan.copies import Ids, copies
from concordant.placement.plan.fair import minimum_share
from concordant.placement.plan.plan import Plan
from concordant.placement.plan.ranged import Cell, RangedPlan
from concordant.placement.plan.zones import zones_of
from concordant.placement.tables.points import SPACE, Arc
from concordant.placement.tables.table import TablePlacement


def plan_between(
    old: Placement, new: Placement, replicas: int = 1, spread: str | None = None
) -> Plan:
    """Return the plan that leads from ``old`` to ``new``.

    It is exact, in time linear in their points, when both are tables of points under the same
    hash; otherwise it asks both.
    """
    _check(old, new, replicas, spread)
    if (
        isinstance(old, TablePlacement)
        and isinstance(new, TablePlacement)
        and old.hash_name == new.hash_name
    ):
        return RangedPlan(
            old_fingerprint=old.fingerprint(),
            new_fingerprint=new.fingerprint(),
            minimum_share=minimum_share(old, new, replicas),
            cells=tuple(_joined(_cells(old, new, replicas, spread))),
            hash_name=old.hash_name,
            replicas=replicas,
            spread=spread,
            old_zones=zones_of(old, spread),
            new_zones=zones_of(new, spread),
        )
    return AskedPlan(old, new, replicas, spread)


def _check(old: Placement, new: object, replicas: int, spread: str | None) -> None:
    if not isinstance(new, Placement):
        raise UsageError(f"a plan leads to another placement, not to {type(new).__name__}")
    check_spread(spread)
    check_integer(replicas, "replicas of a plan", 1, 1 << 20)
    fewest = min(len(old), len(new))
    if replicas > max(1, fewest):
        raise UsageError(
            f"cannot plan for {replicas} replicas: one of the placements has {fewest} nodes"
        )


def _cells(
    old: TablePlacement, new: TablePlacement, replicas: int, spread: str | None
) -> Iterator[Cell]:
    """Sweep over the arcs of both at once, yielding where copies move."""
    before_of, after_of = _ids_in(old, replicas, spread), _ids_in(new, replicas, spread)
    old_arcs, new_arcs = old.arcs(), new.arcs()
    before, after = next(old_arcs), next(new_arcs)
    held, wanted = before_of(before), after_of(after)
    start = 0
    while start < SPACE:
        end = min(before.end, after.end)
        if held != wanted and (flows := copies(held, wanted)):
            yield Cell(start, end, flows)
        if before.end == end < SPACE:
            before = next(old_arcs)
            held = before_of(before)
        if after.end == end < SPACE:
            after = next(new_arcs)
            wanted = after_of(after)
        start = end


def _ids_in(placement: TablePlacement, replicas: int, spread: str | None) -> Callable[[Arc], Ids]:
    """Return what tells the ids of the replicas of an arc, which has one preference list."""
    if replicas == 1:
        return lambda arc: (arc.owner_id,)
    if spread is None:
        lists = dict(_lists(placement, replicas))
        return lambda arc: lists[arc.end]
    sizes = zone_sizes(placement)

    def ids_in(arc: Arc) -> Ids:
        return [node.id for node in over_zones(placement._prefer(arc.start), sizes, replicas)]

    return ids_in


def _lists(placement: TablePlacement, replicas: int) -> Iterator[tuple[int, Ids]]:
    """Yield the end of each arc with the ids of its first nodes, the last arc first.

    Walking backwards each point moves its node to the front of the list, so that no list is
    looked for by itself: one node may have nearly all points.
    """
    front = [node.id for node in islice(placement._prefer(0), replicas)]
    yield SPACE, tuple(front)
    table, id_of = placement._table, {slot: node.id for slot, node in placement._slots.items()}
    for position, slot in zip(reversed(table.positions), reversed(table.owners), strict=True):
        node_id = id_of[slot]
        if node_id in front:
            front.remove(node_id)
        front = [node_id, *front][:replicas]
        # Of points at one position the first has the last word.
        yield position + 1, tuple(front)


def _joined(cells: Iterator[Cell]) -> Iterator[Cell]:
    """Join cells that touch and say the same."""
    last: Cell | None = None
    for cell in cells:
        if last and last.end == cell.start and last.copies == cell.copies:
            last = last._replace(end=cell.end)
            continue
        if last:
            yield last
        last = cell
    if last:
        yield last
