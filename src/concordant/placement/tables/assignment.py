"""Who gets how many slots, and which: every node its share, and the fewest slots moved.

A node's share is its weight's part of all slots, rounded up or down, but at least one slot and
at least those pinned to it. Which are rounded up is chosen so that the fewest slots move.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from concordant.placement.hashing.mixing import mix


def targets(
    units: Sequence[int],
    least: Sequence[int],
    held: Sequence[int],
    slots: int,
    changed: Collection[int] = (),
) -> list[int]:
    """Return how many slots each node is to have, all of them together.

    ``units`` are the weights, ``least`` what each must have (together no more than ``slots``)
    and ``held`` what each has now. ``changed`` are the nodes that joined or have another weight:
    what moves is to come from them or go to them. Nodes are meant by their place.
    """
    shared, fixed = _beyond_least(units, least, slots)
    goal = list(least)
    left = slots - sum(goal[place] for place in fixed)
    whole = sum(units[place] for place in shared)
    exact = {place: Fraction(left * units[place], whole) for place in shared}
    for place, share in exact.items():
        goal[place] = int(share)
    rest = slots - sum(goal)

    def reluctance(place: int) -> tuple[bool, bool, Fraction, int]:
        # One more for a node that holds more anyway saves a move; for another one it costs none.
        # Of the former, one that did not change would else give; of the latter, receive.
        receives = held[place] <= goal[place]
        return receives, (place in changed) != receives, goal[place] - exact[place], place

    upwards = sorted((place for place in shared if exact[place] > goal[place]), key=reluctance)
    for place in upwards[:rest]:
        goal[place] += 1
    return goal


def _beyond_least(
    units: Sequence[int], least: Sequence[int], slots: int
) -> tuple[list[int], list[int]]:
    """Return the places whose share of what is left is at least what they must have; the others."""
    shared, fixed = list(range(len(units))), list[int]()
    while True:
        left = slots - sum(least[place] for place in fixed)
        whole = sum(units[place] for place in shared)
        short = {place for place in shared if left * units[place] < least[place] * whole}
        if not short:
            return shared, fixed
        fixed += sorted(short)
        shared = [place for place in shared if place not in short]


def rebalanced(owners: Sequence[int], goal: Sequence[int], pins: Mapping[int, int]) -> list[int]:
    """Return the owner of each slot when each node has as many as it is to have.

    ``owners`` are places, or -1 for slots that have lost their node; ``pins`` name the place of
    some slots. Slots are given up, and handed out, in an order of their own that looks random,
    so that those of a node that left spread over all that receive some.
    """
    settled = list(owners)
    for slot, place in pins.items():
        settled[slot] = place
    spare = Counter(settled)
    for place, count in enumerate(goal):
        spare[place] -= count
    free: list[int] = []
    for slot in _shuffled(len(settled)):
        place = settled[slot]
        if place < 0:
            free.append(slot)
        elif spare[place] > 0 and slot not in pins:
            spare[place] -= 1
            free.append(slot)
    receiving = [place for place in range(len(goal)) for _ in range(-spare[place])]
    for slot, place in zip(free, receiving, strict=True):
        settled[slot] = place
    return settled


@lru_cache(maxsize=4)
def _shuffled(slots: int) -> tuple[int, ...]:
    """Return the slots in an order that looks random and is always the same."""
    return tuple(sorted(range(slots), key=mix))
