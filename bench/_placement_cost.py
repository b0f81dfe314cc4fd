"""What a look-up and a build cost, in rounds in which the schemes take turns."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any, NamedTuple

from bench._placement_figures import balance, ids
from bench._placement_schemes import Scheme, Weights, ring_of

WARM_KEYS = 2000
ROUND_S = 0.03  # at least, for what is called many times
POINTS = (40, 160, 320, 640, 1000)
SINGLE, BATCH, BUILD = "single", "batch", "build"


class Spread(NamedTuple):
    """The median of the rounds, the least and the greatest."""

    typical: float
    least: float
    most: float


class Cost(NamedTuple):
    """Nanoseconds, and how many times as fast as the basis, round by round."""

    ns: Spread
    times: Spread


class Points(NamedTuple):
    """What a number of points a node gives, and what it costs."""

    points: int
    highest: Spread
    lowest: float
    variation: float
    build_ms: float
    bytes: int
    node_ns: float


def spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def took_ns(work: Callable[[], Any]) -> int:
    """Return the processor time of the work: all of it computes, and nothing waits.

    Unlike the time on the wall it does not grow when others use the machine, too.
    """
    start = time.process_time_ns()
    work()
    return time.process_time_ns() - start


def _loop(function: Callable[[str], Any] | None, keys: Sequence[str]) -> None:
    if function is None:
        for _ in keys:
            pass
    else:
        for key in keys:
            function(key)


def single_ns(function: Callable[[str], Any], keys: Sequence[str]) -> float:
    """Return what one call costs, the loop around it taken away."""
    bare = took_ns(lambda: _loop(None, keys))
    return max(1, took_ns(lambda: _loop(function, keys)) - bare) / len(keys)


def fitting(function: Callable[[Sequence[str]], Any], keys: Sequence[str]) -> Sequence[str]:
    """Return as many of the keys as take a round's time, or all of them."""
    some = keys[:100]
    while len(some) < len(keys) and took_ns(partial(function, some)) < ROUND_S * 1e9:
        some = keys[: 2 * len(some)]
    return some


def _works(scheme: Scheme, nodes: int, keys: Sequence[str]) -> dict[str, Callable[[], float]]:
    """Return what to measure in each round, by kind, each giving nanoseconds."""
    given = ids(nodes)
    table = scheme.build(given)
    function = scheme.single(table)
    warm = list(keys[:WARM_KEYS]) * 500
    some = fitting(lambda part: _loop(function, part), warm)
    works: dict[str, Callable[[], float]] = {
        SINGLE: lambda: single_ns(function, some),
        BUILD: lambda: took_ns(lambda: scheme.build(given)),
    }
    if scheme.batch is not None:
        many = scheme.batch(table)
        part = fitting(many, keys)
        works[BATCH] = lambda: took_ns(lambda: many(part)) / len(part)
    return works


def costs(
    schemes: Mapping[str, Scheme], basis: str, nodes: int, keys: Sequence[str], rounds: int
) -> dict[str, dict[str, Cost]]:
    """Measure all of them in each round; who begins changes from round to round.

    A batch is compared with the single look-ups of the basis, which has none.
    """
    works = {name: _works(scheme, nodes, keys) for name, scheme in schemes.items()}
    taken: dict[tuple[str, str], list[float]] = {
        (name, kind): [] for name, kinds in works.items() for kind in kinds
    }
    for number in range(rounds):
        turns = list(taken)
        for name, kind in reversed(turns) if number % 2 else turns:
            taken[name, kind].append(works[name][kind]())
    found: dict[str, dict[str, Cost]] = {name: {} for name in works}
    for (name, kind), figures in taken.items():
        floor = taken[basis, BUILD if kind == BUILD else SINGLE]
        ratios = [theirs / ours for theirs, ours in zip(floor, figures, strict=True)]
        found[name][kind] = Cost(spread(figures), spread(ratios))
    return found


def points_tradeoff(nodes: int, keys: Sequence[str], sets: int, rounds: int) -> list[Points]:
    """Measure our ring with each number of points: its balance, its look-ups, its size."""
    found = []
    for number in POINTS:
        scheme = ring_of(number)
        even = [
            balance(scheme.owners(scheme.build(given), keys), given)
            for given in (ids(nodes, named) for named in range(sets))
        ]
        works = _works(scheme, nodes, keys)
        taken = [(works[BUILD](), works[SINGLE]()) for _ in range(rounds)]
        found.append(
            Points(
                number,
                spread([each.highest for each in even]),
                median(each.lowest for each in even),
                median(each.variation for each in even),
                median(build for build, _ in taken) / 1e6,
                _bytes(scheme, ids(nodes)),
                median(single for _, single in taken),
            )
        )
    return found


def sizes(schemes: Mapping[str, Scheme], nodes: int) -> dict[str, int]:
    """Return what stays allocated for each scheme, where Python's allocator can tell."""
    given = ids(nodes)
    return {name: _bytes(way, given) for name, way in schemes.items() if way.traced}


def _bytes(scheme: Scheme, given: Weights) -> int:
    """Return what stays allocated for what is built."""
    scheme.build(given)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = scheme.build(given)
        after, _ = tracemalloc.get_traced_memory()
        del kept
        return after - before
    finally:
        tracemalloc.stop()
