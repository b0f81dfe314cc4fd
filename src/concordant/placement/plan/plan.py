"""What every plan tells."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from concordant.errors import UsageError
from concordant.placement.hashing.named import Position, position_by
from concordant.placement.keys import Key
from concordant.placement.placement_json import parsed

if TYPE_CHECKING:
    from concordant.placement.base import Placement
    from concordant.placement.plan.router import Router
    from concordant.placement.plan.steps import Step

FORMAT = "concordant-plan/1"

Flow = tuple[str | None, str | None]
"""(from, to), by node id; None stands for a placement that has no node."""

Move = tuple[Key, str | None, str | None]
"""(key, from, to): a copy of what is stored under the key goes from one node to another."""


class MovedRange(NamedTuple):
    """Positions from ``start`` up to but not including ``end``, of which a copy moves.

    A key lies in it when its position does. An owner is None where that placement is empty.
    """

    start: int
    end: int
    from_id: str | None
    to_id: str | None


class Plan(ABC):
    """Say what moves from an old placement to a new one.

    With ``replicas`` above 1 it is about the first so many nodes of each key: each node that
    joins a key's replicas takes a copy from one that leaves them. A copy that stays where it is
    does not move, even if another node becomes the owner.

    ``minimum_share`` is the share of copies that any scheme has to move for this change of
    weights, were its nodes loaded in exact proportion and replicas free to stand anywhere;
    ``moved_share`` lies around it, above and below, as real placements do, and zones may ask
    for more. ``exact`` says whether shares are those of all keys there
    could be; otherwise they are those of a fixed sample of 16 384 keys.

    With ``spread`` the zones of the nodes decide, too: ``old_zones`` and ``new_zones`` are
    digests of them, None without.
    """

    if not TYPE_CHECKING:
        __slots__ = ()

    old_fingerprint: str
    new_fingerprint: str
    minimum_share: float
    hash_name: str
    replicas: int
    spread: str | None
    old_zones: str | None
    new_zones: str | None

    @property
    @abstractmethod
    def exact(self) -> bool:
        """Return whether shares are those of all keys there could be."""

    @property
    @abstractmethod
    def moved_share(self) -> float:
        """Return the share of copies that move, from 0.0 to 1.0."""

    @property
    @abstractmethod
    def matrix(self) -> dict[Flow, float]:
        """Return the share of copies that goes from one node to another, by the two."""

    @property
    @abstractmethod
    def ranges(self) -> tuple[MovedRange, ...]:
        """Return what moves, ascending; with replicas, several may be about the same positions.

        Raises UsageError where only ``moves`` can tell: when one of the placements is no table
        of ranges, or they hash keys differently.
        """

    @abstractmethod
    def moves(self, keys: Iterable[Key]) -> list[Move]:
        """Return (key, from id, to id) for those of ``keys`` that move, in their order.

        With replicas there is one entry for each copy. Raises UsageError for a key that no
        placement would place.
        """

    @abstractmethod
    def steps(self, max_share: float) -> tuple[Step, ...]:
        """Return the plan in steps, none of which moves more than ``max_share`` of all copies.

        Each is a part of the hash space, so that one number tells how far a migration is. Of
        the keys of a plan that is not exact each step moves about as many. Raises UsageError
        unless ``max_share`` is at least 0.000001 and at most 1.
        """

    def router(self, old: Placement, new: Placement, *, preparing: bool = False) -> Router:
        """Return where to read and write while all of the plan is under way.

        Every process enters it ``preparing`` before one of them goes on; see ``Router``. Raises
        UsageError unless these are the placements of the plan, as fingerprints tell.
        """
        from concordant.placement.plan.router import Router

        return Router(self, old, new, preparing=preparing)

    def to_svg(self) -> str:
        """Return a drawing of what moves, as the text of an SVG file."""
        from concordant.placement.drawing import draw_plan

        return draw_plan(self)

    @abstractmethod
    def to_json(self) -> str:
        """Return the plan as JSON text.

        Positions are decimal text: as numbers, readers that hold doubles would round them.
        """

    @staticmethod
    def from_json(text: str) -> Plan:
        """Return the plan that ``to_json`` wrote; raises UsageError for anything else."""
        from concordant.placement.plan.plan_json import plan_from

        return plan_from(parsed(text, "plan"))

    def _told(self) -> dict[str, Any]:
        """Return what the JSON text of any plan says."""
        return {
            "format": FORMAT,
            "old_fingerprint": self.old_fingerprint,
            "new_fingerprint": self.new_fingerprint,
            "replicas": self.replicas,
            "spread": self.spread,
            "moved_share": self.moved_share,
            "minimum_share": self.minimum_share,
            "matrix": [
                {"from": from_id, "to": to_id, "share": share}
                for (from_id, to_id), share in self.matrix.items()
            ],
        }

    @property
    def _position(self) -> Position:
        return position_by(self.hash_name)

    def __repr__(self) -> str:
        # A repr must not place thousands of keys.
        moved = f"{self.moved_share:.2%} moves" if self.exact else "by asking both"
        return f"<Plan from {self.old_fingerprint} to {self.new_fingerprint}: {moved}>"


def matrix_of(sizes: Mapping[Flow, int], whole: int) -> dict[Flow, float]:
    """Return the share of the whole that each flow has, in the order of the ids."""
    ordered = sorted(sizes, key=lambda flow: (flow[0] or "", flow[1] or ""))
    return {flow: sizes[flow] / whole for flow in ordered}


def checked_share(max_share: float) -> float:
    """Return the greatest share of a step; raises UsageError unless it is one."""
    number: object = max_share
    if not isinstance(number, int | float) or isinstance(number, bool) or not 1e-6 <= number <= 1:
        raise UsageError(
            f"max_share must be a number from 0.000001 to 1, not {max_share!r}; 0.05 moves at "
            "most a twentieth of all keys in a step"
        )
    return float(number)
