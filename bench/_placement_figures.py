"""Balance and disruption: how evenly keys lie, and which of them a change of the nodes moves."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from statistics import median, pstdev
from typing import Any, NamedTuple

from bench._placement_schemes import JOIN, LEAVE, REWEIGHT, Scheme, Weights

# What may be spent on one scheme at one number of nodes, about: on one set of names, on further
# sets together, and on each of the four placements that are compared.
FIRST_SET_S = 30.0
MORE_SETS_S = 4.0
PLACEMENT_S = 1.0
PILOT_KEYS = 500


class Balance(NamedTuple):
    """Loads as parts of what each node is due: the highest, the lowest, and how far they vary."""

    highest: float
    lowest: float
    variation: float


class Balances(NamedTuple):
    """The balances over so many keys with each set of names: the medians, and the extremes.

    ``exact`` is the greatest share of the hash space as part of the mean, where that is known.
    """

    keys: int
    sets: int
    typical: Balance
    highest_least: float
    highest_most: float
    exact: float | None


class Moves(NamedTuple):
    """Shares of the keys: what moved, the least possible, and what nobody asked to move."""

    moved: float
    least: float
    unneeded: float


class Disruption(NamedTuple):
    """What so many keys did at each change; None stands for one that the scheme refuses."""

    keys: int
    before: Balance
    moves: dict[str, Moves | None]


def ids(count: int, named: int = 0) -> Weights:
    """Return so many equal nodes; each set of names gives another ring."""
    return {f"node-{number + 100_000 * named:06}": 1.0 for number in range(count)}


def weighted_ids(count: int) -> Weights:
    """Return so many nodes with weights 1, 2 and 3 in turn."""
    return {each: 1.0 + number % 3 for number, each in enumerate(ids(count))}


def balance(owners: Sequence[str], nodes: Weights) -> Balance:
    counts = Counter(owners)
    whole = sum(nodes.values())
    loads = [counts[each] * whole / weight / len(owners) for each, weight in nodes.items()]
    return Balance(max(loads), min(loads), pstdev(loads))


def affordable(scheme: Scheme, table: Any, keys: Sequence[str], budget_s: float) -> Sequence[str]:
    """Return as many of the keys as are placed within so many seconds, about.

    What is counted is processor time, which neighbours on the machine change little.
    """
    pilot = keys[:PILOT_KEYS]
    scheme.owners(table, pilot[:10])
    start = time.process_time()
    scheme.owners(table, pilot)
    each_s = (time.process_time() - start) / len(pilot)
    count = len(keys)
    while count > 1000 and count * each_s > budget_s:
        count //= 2
    return keys[:count]


def balances(scheme: Scheme, nodes: int, keys: Sequence[str], sets: int) -> Balances:
    """Measure with several sets of names, or with one where that takes long."""
    found: list[Balance] = []
    exact: list[float] = []
    keys = affordable(scheme, scheme.build(ids(nodes)), keys, FIRST_SET_S)
    start = time.process_time()
    for named in range(sets):
        given = ids(nodes, named)
        table = scheme.build(given)
        found.append(balance(scheme.owners(table, keys), given))
        exact += greatest_share(table)
        spent_s = time.process_time() - start
        if spent_s + spent_s / len(found) > MORE_SETS_S:
            break
    highest = [each.highest for each in found]
    typical = Balance(*(median(column) for column in zip(*found, strict=True)))
    return Balances(
        len(keys), len(found), typical, min(highest), max(highest), median(exact or [0]) or None
    )


def greatest_share(table: Any) -> list[float]:
    """Return the greatest share of our own tables of points, as part of the mean."""
    if not hasattr(table, "arcs"):
        return []
    sizes: Counter[str] = Counter()
    for start, end, owner in table.arcs():
        sizes[owner] += end - start
    return [max(sizes.values()) / 2**64 * len(table)]


def disruption(scheme: Scheme, before: Weights, keys: Sequence[str]) -> Disruption:
    """Measure what moves when one node joins, the middle one leaves, or doubles its weight."""
    table = scheme.build(before)
    keys = affordable(scheme, table, keys, PLACEMENT_S)
    placed = scheme.owners(table, keys)
    moves: dict[str, Moves | None] = {}
    for change, after in _changes(before).items():
        if change == REWEIGHT and not scheme.weighted:
            continue
        try:
            altered = scheme.changed(table, before, after)
        except ValueError:
            moves[change] = None
            continue
        now = scheme.owners(altered, keys)
        pairs = [pair for pair in zip(placed, now, strict=True) if pair[0] != pair[1]]
        changed = {each for each, _ in before.items() ^ after.items()}
        unneeded = sum(changed.isdisjoint(pair) for pair in pairs)
        least = _least(before, after)
        moves[change] = Moves(len(pairs) / len(keys), least, unneeded / len(keys))
    return Disruption(len(keys), balance(placed, before), moves)


def _changes(before: Weights) -> dict[str, Weights]:
    *_, newest = ids(len(before) + 1)
    middle = list(before)[len(before) // 2]
    return {
        JOIN: {**before, newest: 1.0},
        LEAVE: {each: weight for each, weight in before.items() if each != middle},
        REWEIGHT: {**before, middle: 2 * before[middle]},
    }


def _least(before: Weights, after: Weights) -> float:
    """Return the share that has to move when every node has exactly what it is due."""
    was, becomes = sum(before.values()), sum(after.values())
    gains = (weight / becomes - before.get(each, 0) / was for each, weight in after.items())
    return sum(gain for gain in gains if gain > 0)


def chance(nodes: int, keys: int) -> Balance:
    """Return what to expect of keys that choose their nodes by chance: no hash does better.

    The loads are taken for independent Poisson variables, whose highest is as far from the mean,
    on average, as that of loads with a fixed sum.
    """
    mean = keys / nodes
    reach = 12 * math.sqrt(mean) + 12
    start = max(0, int(mean - reach))
    highest = lowest = float(start)
    below = 0.0
    for load in range(start, int(mean + reach)):
        below += math.exp(load * math.log(mean) - mean - math.lgamma(load + 1))
        highest += 1 - min(1.0, below) ** nodes
        lowest += (1 - min(1.0, below)) ** nodes
    return Balance(highest / mean, lowest / mean, math.sqrt((nodes - 1) / keys))
