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

    Processes do not enter a step at one moment. So each enters it ``preparing`` first: it reads
    as in the step, but still writes to the old nodes, and then removes the key from those that
    ``forget`` names. When all are preparing, each goes on to the step itself; when all have done
    that, keys are copied. In this order no read misses what any of them has written.

    A copy must not overwrite what was written at its new place meanwhile. A deletion while a key
    moves has to be remembered at the new node, or the old copy comes back.

    Raises UsageError unless these are the placements of the plan, as fingerprints tell.
    """

    __slots__ = ("_end", "_new", "_old", "_plan", "_preparing", "_start")

    def __init__(
        self,
        plan: Plan,
        old: Placement,
        new: Placement,
        start: int = 0,
        end: int = SPACE,
        *,
        preparing: bool = False,
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
        self._start, self._end, self._preparing = start, end, preparing

    def write(self, key: Key) -> list[Node]:
        """Return the nodes to write to, the key's owner first."""
        first_new = self._start if self._preparing else self._end
        return self._at(self._new if self._plan._position(key) < first_new else self._old, key)

    def forget(self, key: Key) -> list[Node]:
        """Return the nodes from which to remove the key after it was written or deleted.

        There are some while the router is preparing: a process that has gone on already may have
        written there, and what is written now is newer.
        """
        if not (self._preparing and self._start <= self._plan._position(key) < self._end):
            return []
        return _without(self._at(self._new, key), self._at(self._old, key))

    def read(self, key: Key) -> list[Node]:
        """Return the nodes to read from, in the order in which to ask them."""
        position = self._plan._position(key)
        if position >= self._end:
            return self._at(self._old, key)
        found = self._at(self._new, key)
        if position < self._start:
            return found
        return found + _without(self._at(self._old, key), found)

    def is_moving(self, key: Key) -> bool:
        """Return whether a copy of the key is under way, so that it may be at its old place."""
        position = self._plan._position(key)
        return self._start <= position < self._end and bool(self._plan.moves([key]))

    def _at(self, placement: Placement, key: Key) -> list[Node]:
        if not len(placement):
            return []
        return placement.nodes(key, self._plan.replicas, spread=self._plan.spread)


def _without(nodes: list[Node], others: list[Node]) -> list[Node]:
    there = {node.id for node in others}
    return [node for node in nodes if node.id not in there]
