"""A short text by which two processes prove that they place every key alike.

The preference list of a position names all nodes in the order in which their points follow it.
Walking the ring backwards, each point moves its node to the front of that list. A point whose
node is at the front already changes nothing: it is not placement, and must not show. So a
placement is the list at position 0 and the moves that are left, and that is what is digested:

    SHA-256, its first 32 hexadecimal digits, of
        "concordant-ring/1 xxh64" NUL (the name of the hash, where it is another one)
        the ids of the preference list at position 0, each followed by NUL, then NUL
        per ascending position at which the list changes:
            the position in 8 bytes, little-endian
            the ids that move to the front there, each followed by NUL, then NUL

Several ids move at one position only where points of several nodes fall together; the shortest
run of ids at the front that explains the change is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256

from concordant.placement.digest import DIGITS
from concordant.placement.tables.points import PointTable


def fingerprint(table: PointTable, id_of: Mapping[int, str], hash_name: str = "xxh64") -> str:
    """Return the fingerprint of a table; equal if and only if all preference lists are equal."""
    names = {slot: node_id.encode("utf-8") + b"\0" for slot, node_id in id_of.items()}
    parts = [b"concordant-ring/1 %s\0" % hash_name.encode("ascii")]
    parts += [names[slot] for slot in table.clockwise(0)]
    parts.append(b"\0")
    for position, slots in _moves(table):
        parts.append(position.to_bytes(8, "little"))
        parts += [names[slot] for slot in slots]
        parts.append(b"\0")
    return sha256(b"".join(parts)).hexdigest()[:DIGITS]


def _moves(table: PointTable) -> Iterator[tuple[int, list[int]]]:
    positions, owners = table.positions, table.owners
    size = len(owners)
    start = 0
    while start < size:
        stop = start + 1
        while stop < size and positions[stop] == positions[start]:
            stop += 1
        if stop == start + 1:
            moved = [owners[start]] if owners[start] != owners[stop - size] else []
        else:
            moved = _moved_together(table, start, stop)
        if moved:
            yield positions[start], moved
        start = stop


def _moved_together(table: PointTable, start: int, stop: int) -> list[int]:
    """Return the shortest front of points[start:stop] with the effect of all of them."""
    group = list(dict.fromkeys(table.owners[start:stop]))
    behind = list(table.clockwise(table.positions[start] + 1))
    wanted = _to_front(group, behind)
    while group and _to_front(group[:-1], behind) == wanted:
        group.pop()
    return group


def _to_front(group: list[int], slots: list[int]) -> list[int]:
    return group + [slot for slot in slots if slot not in group]
