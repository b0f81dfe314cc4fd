"""Where to read and write while keys move."""

from __future__ import annotations

from concordant.errors import UsageError
from concordant.placement.base import Placement
from concordant.placement.keys import Key, check_integer
from concordant.placement.nodes import Node
from concordant.placement.plan.plan import Plan
from concordant.placement.plan.zones import zones_of
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

    Raises UsageError unless these are the placements of the plan, as fingerprints tell, and the
    zones of their nodes where replicas are spread over them.
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
        _check(plan, "old", old, plan.old_fingerprint, plan.old_zones)
        _check(plan, "new", new, plan.new_fingerprint, plan.new_zones)
        check_integer(start, "start of a router", 0, SPACE)
        check_integer(end, "end of a router", start, SPACE)
        self._plan, self._old, self._new = plan, old, new
        self._start, self._end, self._preparing = start, end, preparing

    def write(self, key: Key) -> list[Node]:
        """Return the nodes to write to, the key's owner first.

        Raises UsageError where that placement has no node.
        """
        # With no node before, nobody can have an older value, and there is nothing to prepare.
        first_new = self._start if self._preparing and len(self._old) else self._end
        nodes = self._at(self._new if self._plan._position(key) < first_new else self._old, key)
        if not nodes:
            raise UsageError(
                "there is no node to write to: the placement that has the key now is empty"
            )
        return nodes

    def forget(self, key: Key) -> list[Node]:
        """Return the nodes from which to remove the key after it was written or deleted.

        There are some while the router is preparing: a process that has gone on already may have
        written there, and what is written now is newer.
        """
        if not (
            self._preparing
            and len(self._old)
            and self._start <= self._plan._position(key) < self._end
        ):
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


def _check(
    plan: Plan, name: str, placement: Placement, fingerprint: str, zones: str | None
) -> None:
    found: object = placement
    if not isinstance(found, Placement):
        raise UsageError(f"a router takes the {name} placement, not {type(found).__name__}")
    if placement.fingerprint() != fingerprint:
        raise UsageError(
            f"the {name} placement has fingerprint {placement.fingerprint()}, the plan "
            f"was made for {fingerprint}; load the placement of the plan, or plan anew"
        )
    if zones_of(placement, plan.spread) != zones:
        raise UsageError(
            f"the {name} placement has its nodes in other zones than the plan was made for; load "
            "the placement of the plan, or plan anew"
        )
    if name == "new" and placement.hash_name != plan.hash_name:
        raise UsageError(
            f"the plan goes by the hash {plan.hash_name!r}, its placement by "
            f"{placement.hash_name!r}; plan anew"
        )


def _without(nodes: list[Node], others: list[Node]) -> list[Node]:
    there = {node.id for node in others}
    return [node for node in nodes if node.id not in there]
