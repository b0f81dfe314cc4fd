"""Changing a ring's nodes: what is asked, and the points that it touches."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from itertools import count

from concordant.placement.nodes import Node
from concordant.placement.tables.points import PointTable, Stretch, edited, point_count


def rearrange(
    table: PointTable, slots: Mapping[int, Node], nodes: Mapping[str, Node], points: int
) -> tuple[PointTable, dict[int, Node]]:
    """Return the table and the slots for ``nodes``, made from those of the ring before.

    Nodes that stay keep their slot. Only points that come or go are hashed and sorted; the
    others are copied as blocks of memory.
    """
    slot_of = {node.id: slot for slot, node in slots.items()}
    taken = {slot for node_id, slot in slot_of.items() if node_id in nodes}
    free = (slot for slot in count() if slot not in taken)
    leaving: list[Stretch] = []
    coming: list[Stretch] = []
    for slot, node in slots.items():
        if node.id not in nodes:
            leaving.append(Stretch(node.id, slot, 0, point_count(node, points)))
    settled: dict[int, Node] = {}
    for node in nodes.values():
        before = slot_of.get(node.id)
        slot = next(free) if before is None else before
        had = 0 if before is None else point_count(slots[before], points)
        has = point_count(node, points)
        if has < had:
            leaving.append(Stretch(node.id, slot, has, had))
        elif had < has:
            coming.append(Stretch(node.id, slot, had, has))
        settled[slot] = node
    return edited(
        table, leaving, coming, {slot: node.id for slot, node in settled.items()}
    ), settled


def by_slot(
    slots: Mapping[int, Node], nodes: Mapping[str, Node]
) -> tuple[array[int], tuple[Node, ...]]:
    """Return each slot's place in the order of the ids (-1: nobody's), and the nodes in order."""
    index_of = array("i", [-1]) * (max(slots, default=-1) + 1)
    place = {node_id: index for index, node_id in enumerate(nodes)}
    for slot, node in slots.items():
        index_of[slot] = place[node.id]
    return index_of, tuple(nodes.values())
