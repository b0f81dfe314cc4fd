"""Where to read and write while keys move."""

from __future__ import annotations

from concordant.errors import UsageError
from concordant.placement.base import Placement
from concordant.placement.keys import Key
from concordant.placement.nodes import Node
from concordant.placement.plan.plan import Plan
from concordant.placement.tables.points import SPACE


class Router:
    """Route keys during a migration: write new, read new and then old.

    Keys whose positions lie before ``start`` have moved and are found at the new nodes; those
    from ``end`` on have not, and are found at the old ones. In between, what is written goes to
    the new nodes, and what the new ones do not have is still at the old ones.

    All processes must have entered a step before one of them writes to its keys, or copies them:
    who has not entered it reads and writes the old nodes alone, and does not see what the others
    write, nor they all that it does. A copy must not overwrite what was written at its new place
    meanwhile. A deletion while a key moves has to be remembered at the new node, or the old copy
    comes back.

    Raises UsageError unless these are the placements of the plan, as fingerprints tell.
    """

    __slots__ = ("_end", "_new", "_old", "_plan", "_start")

    def __init__(
        self, plan: Plan, old: Placement, new: Placement, start: int = 0, end: int = SPACE
    ) -> None:
        for name, placement, expected in (
            ("old", old, plan.old_fingerprint),
            ("new", new, plan.new_fingerprint),
        ):
            if placement.fingerprint() != expected:
                raise UsageError(
                    f"the {name} placement has fingerprint {placement.fingerprint()}, the plan "
                    f"was made for {expected}; load the placement of the plan, or plan anew"
                )
        self._plan, self._old, self._new = plan, old, new
        self._start, self._end = start, end

    def write(self, key: Key) -> list[Node]:
        """Return the nodes to write to, the key's owner first."""
        return self._at(self._old if self._untouched(key) else self._new, key)

    def read(self, key: Key) -> list[Node]:
        """Return the nodes to read from, in the order in which to ask them."""
        position = self._plan._position(key)
        if position >= self._end:
            return self._at(self._old, key)
        found = self._at(self._new, key)
        if position >= self._start:
            there = {node.id for node in found}
            found += [node for node in self._at(self._old, key) if node.id not in there]
        return found

    def is_moving(self, key: Key) -> bool:
        """Return whether a copy of the key is under way, so that it may be at its old place."""
        position = self._plan._position(key)
        return self._start <= position < self._end and bool(self._plan.moves([key]))

    def _untouched(self, key: Key) -> bool:
        return self._plan._position(key) >= self._end

    def _at(self, placement: Placement, key: Key) -> list[Node]:
        if not len(placement):
            return []
        return placement.nodes(key, self._plan.replicas, spread=self._plan.spread)
