"""A plan that asks both placements, for those that have no ranges or hash keys differently."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from math import ceil

from concordant.errors import UsageError
from concordant.placement.base import Placement
from concordant.placement.hashing.mixing import mix
from concordant.placement.keys import Key
from concordant.placement.placement_json import as_object
from concordant.placement.placer import each_key
from concordant.placement.plan.copies import Ids, copies
from concordant.placement.plan.fair import minimum_share
from concordant.placement.plan.plan import Flow, Move, MovedRange, Plan, checked_share, matrix_of
from concordant.placement.plan.steps import Step
from concordant.placement.plan.zones import zones_of
from concordant.placement.tables.points import SPACE

SAMPLE = 1 << 14


class AskedPlan(Plan):
    """Say what moves by placing each key twice; it holds both placements.

    Steps follow the positions that the new placement gives to keys.
    """

    def __init__(self, old: Placement, new: Placement, replicas: int, spread: str | None) -> None:
        self._old, self._new = old, new
        self.old_fingerprint, self.new_fingerprint = old.fingerprint(), new.fingerprint()
        self.minimum_share = minimum_share(old, new, replicas)
        self.hash_name = new.hash_name
        self.replicas, self.spread = replicas, spread
        self.old_zones, self.new_zones = zones_of(old, spread), zones_of(new, spread)

    @property
    def exact(self) -> bool:
        """Return that shares are those of a sample."""
        return False

    @property
    def ranges(self) -> tuple[MovedRange, ...]:
        """Raise UsageError: this plan knows no ranges."""
        raise UsageError(
            f"there are no ranges between a {type(self._old).__name__} and a "
            f"{type(self._new).__name__}: pass the keys to plan.moves(keys)"
        )

    @cached_property
    def moved_share(self) -> float:
        """Return the share of copies that move in a fixed sample of keys, from 0.0 to 1.0."""
        return self._sampled.total() / (SAMPLE * self.replicas)

    @cached_property
    def matrix(self) -> dict[Flow, float]:
        """Return the share of copies that goes from one node to another, in the same sample."""
        return matrix_of(self._sampled, SAMPLE * self.replicas)

    @cached_property
    def _sampled(self) -> Counter[Flow]:
        # Numbers are keys of every placement, and these are spread like hashes.
        keys = list(map(mix, range(SAMPLE)))
        return Counter((from_id, to_id) for _, from_id, to_id in self.moves(keys))

    def moves(self, keys: Iterable[Key]) -> list[Move]:
        """Return (key, from id, to id) for those of ``keys`` that move, in their order.

        With replicas there is one entry for each copy. Raises UsageError for a key that one of
        the placements would not place.
        """
        each = each_key(keys)
        pairs = zip(each, self._ids(self._old, each), self._ids(self._new, each), strict=True)
        return [
            (key, *flow)
            for key, before, after in pairs
            if before != after
            for flow in copies(before, after)
        ]

    def _ids(self, placement: Placement, keys: list[Key]) -> list[Ids]:
        if not len(placement):
            for key in keys:
                placement._position(key)
            return [(None,)] * len(keys)
        if self.replicas == 1:
            return [(node.id,) for node in placement.node_many(keys)]
        return [
            tuple(node.id for node in placement.nodes(key, self.replicas, spread=self.spread))
            for key in keys
        ]

    def steps(self, max_share: float) -> tuple[Step, ...]:
        """Return the plan in steps of equal size, none of which moves more than about that share.

        Each is a part of the hash space, so that one number tells how far a migration is.
        """
        most = checked_share(max_share)
        if (self.old_fingerprint, self.old_zones) == (self.new_fingerprint, self.new_zones):
            return ()
        # What moves may be too little for the sample to show; one step is taken all the same.
        count = max(1, ceil(self.moved_share / most))
        edges = [(part * SPACE) // count for part in range(count + 1)]
        share = self.moved_share / count
        return tuple(
            Step(self, number, edges[number], edges[number + 1], share) for number in range(count)
        )

    def to_json(self) -> str:
        """Return the plan as JSON text, which holds both placements."""
        held = {"old": as_object(self._old), "new": as_object(self._new)}
        return json.dumps({**self._told(), **held})

    def _identity(self) -> tuple[object, ...]:
        return (
            *(self.old_fingerprint, self.new_fingerprint, self.old_zones, self.new_zones),
            *(self.replicas, self.spread),
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AskedPlan):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())
