"""A plan in steps, for migrations that must not take all bandwidth at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from concordant.placement.keys import Key
from concordant.placement.placer import each_key
from concordant.placement.plan.plan import Move, MovedRange, Plan

if TYPE_CHECKING:
    from concordant.placement.base import Placement
    from concordant.placement.plan.router import Router


@dataclass(frozen=True)
class Step:
    """One part of a plan: the moves of positions from ``start`` up to but not including ``end``.

    Steps are numbered from 0, cover the hash space in order, and are taken in order. ``share``
    is the share of all copies that this step moves.
    """

    plan: Plan = field(repr=False)
    number: int
    start: int
    end: int
    share: float

    def __contains__(self, key: Key) -> bool:
        return self.start <= self.plan._position(key) < self.end

    @property
    def ranges(self) -> tuple[MovedRange, ...]:
        """Return the plan's ranges as far as they belong to this step.

        Raises UsageError where the plan has none.
        """
        return tuple(
            moved._replace(start=max(moved.start, self.start), end=min(moved.end, self.end))
            for moved in self.plan.ranges
            if moved.start < self.end and moved.end > self.start
        )

    def moves(self, keys: Iterable[Key]) -> list[Move]:
        """Return those moves of the plan for ``keys`` that belong to this step."""
        return self.plan.moves([key for key in each_key(keys) if key in self])

    def router(self, old: Placement, new: Placement) -> Router:
        """Return where to read and write while this step is under way.

        The steps before it are done, those after it not begun. Raises UsageError unless these
        are the placements of the plan, as fingerprints tell.
        """
        from concordant.placement.plan.router import Router

        return Router(self.plan, old, new, self.start, self.end)
