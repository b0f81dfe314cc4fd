"""How evenly a placement shares out keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median, pstdev
from typing import Any

from concordant.errors import UsageError
from concordant.placement.base import Placement
from concordant.placement.keys import Key
from concordant.placement.stats.heirs import Heirs, heirs_of
from concordant.placement.stats.owned import Basis, counted, fair_shares, shares


@dataclass(frozen=True)
class Leavers:
    """Tell how evenly the keys of a node that leaves spread over the rest.

    ``max_load`` has for each leaver the most that an heir takes, as a multiple of what would be
    fair by weight: 1.0 is perfectly even, and with nine equal heirs 9.0 means that one takes
    all. Only leavers are in it that own something, leave somebody behind, and can leave: jump
    hash loses no node but the last. ``basis`` says whether this is exact, or expected of a
    function of the position. ``asked`` tells of how many nodes it was found out: of all, or,
    where every leaver takes a table of its own, of as many of them as 2**21 points allow, evenly
    chosen by id.
    """

    basis: Basis
    asked: int
    max_load: Mapping[str, float]

    @property
    def worst(self) -> float | None:
        """Return the greatest figure of all leavers; None if there are none."""
        return max(self.max_load.values(), default=None)

    @property
    def median(self) -> float | None:
        """Return the median of the figures; None if there are none."""
        return median(self.max_load.values()) if self.max_load else None


@dataclass(frozen=True)
class Stats:
    """Tell how evenly a placement shares out keys.

    ``shares`` has for each node the share of all keys that it owns, and ``fair_shares`` that of
    its weight, by id. ``basis`` says where shares come from: ``"exact"`` from the ranges of the
    hash space, ``"expected"`` from the weights, which a function of the position follows but for
    chance, or ``"counted"``, with ``keys`` telling how many keys were.

    A load is a share divided by the fair share: 1.0 is fair, and for equal weights it is the
    multiple of the mean.
    """

    basis: Basis
    keys: int | None
    shares: Mapping[str, float]
    fair_shares: Mapping[str, float]
    _placement: Placement = field(repr=False)

    @cached_property
    def loads(self) -> dict[str, float]:
        """Return the load of each node, by id."""
        return {node_id: share / self.fair_shares[node_id] for node_id, share in self._counting}

    @property
    def _counting(self) -> list[tuple[str, float]]:
        # Of no keys at all no node has too many or too few.
        return [] if self.keys == 0 else list(self.shares.items())

    @property
    def max_load(self) -> float | None:
        """Return the greatest load; None without nodes or keys."""
        return max(self.loads.values(), default=None)

    @property
    def min_load(self) -> float | None:
        """Return the smallest load; None without nodes or keys."""
        return min(self.loads.values(), default=None)

    @property
    def variation(self) -> float | None:
        """Return the coefficient of variation of the loads: their deviation over their mean.

        None without nodes or keys.
        """
        loads = self.loads.values()
        return pstdev(loads) / (sum(loads) / len(loads)) if loads else None

    def heirs(self, leaver: str) -> dict[str, float]:
        """Return what each of the others takes of a node's keys, were it to leave; by id.

        Shares of the hash space of that node, whatever keys were counted; together 1.0, and
        nothing at all for a node that owns nothing or is alone. Raises UsageError for a node
        that is not there or, as most with jump hash, cannot leave.
        """
        named: object = leaver
        if not isinstance(named, str) or named not in self.shares:
            raise UsageError(f"there is no node {leaver!r} that could leave")
        return self._heirs.of(leaver)

    @cached_property
    def leavers(self) -> Leavers:
        """Return how evenly leavers' keys spread; computed when it is first asked for."""
        asked = self._heirs.to_ask()
        figures = {node_id: self._most(node_id) for node_id in asked}
        known = {node_id: figure for node_id, figure in figures.items() if figure is not None}
        return Leavers(self._heirs.basis, len(asked), known)

    def _most(self, leaver: str) -> float | None:
        try:
            heirs = self._heirs.of(leaver)
        except UsageError:
            return None  # it cannot leave
        rest = 1.0 - self.fair_shares[leaver]
        return max(
            (share * rest / self.fair_shares[node_id] for node_id, share in heirs.items()),
            default=None,
        )

    @cached_property
    def _heirs(self) -> Heirs:
        return heirs_of(self._placement)

    def as_dict(self) -> dict[str, Any]:
        """Return all figures as JSON can hold them, the heirs of single leavers aside."""
        leavers = self.leavers
        return {
            "basis": self.basis,
            "keys": self.keys,
            "max_load": self.max_load,
            "min_load": self.min_load,
            "variation": self.variation,
            "leavers": {
                "basis": leavers.basis,
                "asked": leavers.asked,
                "worst": leavers.worst,
                "median": leavers.median,
            },
            "nodes": [
                {
                    "id": node_id,
                    "share": share,
                    "fair_share": self.fair_shares[node_id],
                    "load": self.loads.get(node_id),
                    "heirs_max_load": leavers.max_load.get(node_id),
                }
                for node_id, share in self.shares.items()
            ],
        }


def stats_of(placement: Placement, keys: Iterable[Key] | None = None) -> Stats:
    """Return the figures of a placement: for all keys there could be, or for those given.

    Keys are what ``index_many`` takes; an iterator is read in batches, so that it may be longer
    than what fits into memory. Raises UsageError for what is no key, and for keys without nodes.
    """
    fair = fair_shares(placement)
    if keys is None:
        owned = shares(placement)
        return Stats(_basis(placement), None, owned, fair, placement)
    found = counted(placement, keys)
    total = sum(found.values())
    return Stats(
        basis="counted",
        keys=total,
        shares={node_id: count / max(1, total) for node_id, count in found.items()},
        fair_shares=fair,
        _placement=placement,
    )


def _basis(placement: Placement) -> Basis:
    return heirs_of(placement).basis
