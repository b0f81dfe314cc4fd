"""A plan by ranges of the hash space: exact, for every key there could be."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

from concordant.placement.hashing.named import XXH64
from concordant.placement.keys import Key
from concordant.placement.placer import each_key
from concordant.placement.plan.cells import Cells
from concordant.placement.plan.plan import Flow, Move, MovedRange, Plan, checked_share, matrix_of
from concordant.placement.plan.steps import Step
from concordant.placement.tables.points import SPACE


class Cell(NamedTuple):
    """Positions from ``start`` up to but not including ``end``, and the copies that move there."""

    start: int
    end: int
    copies: tuple[Flow, ...]


@dataclass(frozen=True, repr=False)
class RangedPlan(Plan):
    """List what moves, exactly; ``cells`` ascend, never overlap, and hold moved positions only."""

    old_fingerprint: str
    new_fingerprint: str
    minimum_share: float
    cells: tuple[Cell, ...]
    hash_name: str = XXH64
    replicas: int = 1
    spread: str | None = None
    old_zones: str | None = None
    new_zones: str | None = None

    def __reduce__(self) -> tuple[object, ...]:
        # What was computed on the way stays behind: a table of the kernel cannot be pickled.
        return RangedPlan, tuple(getattr(self, field.name) for field in fields(self))

    @property
    def exact(self) -> bool:
        """Return that shares are those of all keys."""
        return True

    @cached_property
    def ranges(self) -> tuple[MovedRange, ...]:
        """Return what moves, ascending; with replicas, several may be about the same positions."""
        return tuple(
            MovedRange(start, end, *flow) for start, end, flows in self.cells for flow in flows
        )

    @cached_property
    def moved_share(self) -> float:
        """Return the share of copies that move, from 0.0 to 1.0."""
        moved = sum((end - start) * len(flows) for start, end, flows in self.cells)
        return moved / (SPACE * self.replicas)

    @cached_property
    def matrix(self) -> dict[Flow, float]:
        """Return the share of copies that goes from one node to another, by the two."""
        sizes: defaultdict[Flow, int] = defaultdict(int)
        for start, end, flows in self.cells:
            for flow in flows:
                sizes[flow] += end - start
        return matrix_of(sizes, SPACE * self.replicas)

    def moves(self, keys: Iterable[Key]) -> list[Move]:
        """Return (key, from id, to id) for those of ``keys`` that move, in their order.

        With replicas there is one entry for each copy. Raises UsageError for a key that no
        placement would place.
        """
        each = each_key(keys)
        found = self._lookup.of_many(each)
        return [
            (key, from_id, to_id)
            for key, flows in zip(each, found, strict=True)
            for from_id, to_id in flows
        ]

    @cached_property
    def _lookup(self) -> Cells:
        ends: list[int] = []
        said: list[tuple[Flow, ...]] = []
        done = 0
        for start, end, flows in self.cells:
            if start > done:
                ends.append(start)
                said.append(())
            ends.append(end)
            said.append(flows)
            done = end
        if done < SPACE:
            ends.append(SPACE)
            said.append(())
        return Cells(self.hash_name, ends, said)

    def steps(self, max_share: float) -> tuple[Step, ...]:
        """Return the plan in steps, none of which moves more than ``max_share`` of all copies.

        Each is a part of the hash space, so that one number tells how far a migration is.
        """
        # In whole numbers: a product of doubles may come out above what was asked.
        most = int(Fraction(checked_share(max_share)) * SPACE * self.replicas)
        cuts: list[int] = []
        moved: list[int] = [0]
        for start, end, flows in self.cells:
            weight = len(flows)
            while moved[-1] + (end - start) * weight > most:
                start += (most - moved[-1]) // weight
                moved[-1] += (most - moved[-1]) // weight * weight
                cuts.append(start)
                moved.append(0)
            moved[-1] += (end - start) * weight
        if not self.cells:
            return ()
        edges = [0, *cuts, SPACE]
        return tuple(
            Step(self, number, edges[number], edges[number + 1], size / (SPACE * self.replicas))
            for number, size in enumerate(moved)
        )

    def to_json(self) -> str:
        """Return the plan as JSON text.

        Positions are decimal text: as numbers, readers that hold doubles would round them.
        """
        said = {
            "hash": self.hash_name,
            "old_zones": self.old_zones,
            "new_zones": self.new_zones,
            "ranges": [
                {"start": str(start), "end": str(end), "from": from_id, "to": to_id}
                for start, end, from_id, to_id in self.ranges
            ],
        }
        return json.dumps({**self._told(), **said})
