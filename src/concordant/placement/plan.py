"""What has to move when one ring takes the place of another."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import fsum
from typing import TYPE_CHECKING, NamedTuple

from concordant.placement.hashing import key_position
from concordant.placement.keys import Key
from concordant.placement.points import SPACE

if TYPE_CHECKING:
    from concordant.placement.ring import HashRing

FORMAT = "concordant-plan/1"

Flow = tuple[str | None, str | None]
"""(from, to), by node id; None stands for the ring that has no node."""


class MovedRange(NamedTuple):
    """Positions from ``start`` up to but not including ``end``, whose owner changes.

    A key lies in it when its hash does. An owner is None where that ring is empty.
    """

    start: int
    end: int
    from_id: str | None
    to_id: str | None


@dataclass(frozen=True, repr=False)
class Plan:
    """List what moves from an old ring to a new one, exactly, for every key there could be.

    ``ranges`` ascend, never overlap, and hold moved positions only. ``minimum_share`` is the
    share of keys that any scheme has to move for this change of weights, were its nodes loaded
    in exact proportion; ``moved_share`` lies around it, above and below, as real arcs do.
    """

    old_fingerprint: str
    new_fingerprint: str
    minimum_share: float
    ranges: tuple[MovedRange, ...]

    @cached_property
    def moved_share(self) -> float:
        """Return the share of the hash space that changes its owner, from 0.0 to 1.0."""
        return sum(moved.end - moved.start for moved in self.ranges) / SPACE

    @cached_property
    def matrix(self) -> dict[Flow, float]:
        """Return the share of the hash space that goes from one node to another, by the two."""
        sizes: defaultdict[Flow, int] = defaultdict(int)
        for start, end, from_id, to_id in self.ranges:
            sizes[from_id, to_id] += end - start
        flows = sorted(sizes, key=lambda flow: (flow[0] or "", flow[1] or ""))
        return {flow: sizes[flow] / SPACE for flow in flows}

    def moves(self, keys: Iterable[Key]) -> list[tuple[Key, str | None, str | None]]:
        """Return (key, from id, to id) for those of ``keys`` that move, in their order.

        Raises UsageError for a key that no ring would place.
        """
        found = ((key, self._range_of(key)) for key in keys)
        return [(key, moved.from_id, moved.to_id) for key, moved in found if moved]

    def _range_of(self, key: Key) -> MovedRange | None:
        position = key_position(key)
        index = bisect_right(self._starts, position) - 1
        if index < 0 or position >= self.ranges[index].end:
            return None
        return self.ranges[index]

    @cached_property
    def _starts(self) -> list[int]:
        return [moved.start for moved in self.ranges]

    def to_json(self) -> str:
        """Return the plan as JSON text.

        Positions are decimal text: as numbers, readers that hold doubles would round them.
        """
        return json.dumps(
            {
                "format": FORMAT,
                "old_fingerprint": self.old_fingerprint,
                "new_fingerprint": self.new_fingerprint,
                "moved_share": self.moved_share,
                "minimum_share": self.minimum_share,
                "matrix": [
                    {"from": from_id, "to": to_id, "share": share}
                    for (from_id, to_id), share in self.matrix.items()
                ],
                "ranges": [
                    {"start": str(start), "end": str(end), "from": from_id, "to": to_id}
                    for start, end, from_id, to_id in self.ranges
                ],
            }
        )

    def __repr__(self) -> str:
        return (
            f"<Plan from {self.old_fingerprint} to {self.new_fingerprint}: "
            f"{self.moved_share:.2%} moves in {len(self.ranges)} ranges>"
        )


def plan_between(old: HashRing, new: HashRing) -> Plan:
    """Return the plan that leads from ``old`` to ``new``, in time linear in their points."""
    return Plan(
        old_fingerprint=old.fingerprint(),
        new_fingerprint=new.fingerprint(),
        minimum_share=_minimum_share(old, new),
        ranges=tuple(_joined(_moved(old, new))),
    )


def _moved(old: HashRing, new: HashRing) -> Iterator[MovedRange]:
    """Sweep over the arcs of both rings at once, yielding where the owners differ."""
    old_arcs, new_arcs = old.arcs(), new.arcs()
    before, after = next(old_arcs), next(new_arcs)
    start = 0
    while start < SPACE:
        end = min(before.end, after.end)
        if before.owner_id != after.owner_id:
            yield MovedRange(start, end, before.owner_id, after.owner_id)
        if before.end == end < SPACE:
            before = next(old_arcs)
        if after.end == end < SPACE:
            after = next(new_arcs)
        start = end


def _joined(ranges: Iterable[MovedRange]) -> Iterator[MovedRange]:
    """Join ranges that touch and have the same owners."""
    last: MovedRange | None = None
    for moved in ranges:
        if last and last.end == moved.start and last[2:] == moved[2:]:
            last = last._replace(end=moved.end)
            continue
        if last:
            yield last
        last = moved
    if last:
        yield last


def _minimum_share(old: HashRing, new: HashRing) -> float:
    before, after = _fair_shares(old), _fair_shares(new)
    return fsum(max(0.0, share - before.get(owner, 0.0)) for owner, share in after.items())


def _fair_shares(ring: HashRing) -> dict[str | None, float]:
    total = fsum(node.weight for node in ring)
    return {node.id: node.weight / total for node in ring} or {None: 1.0}
