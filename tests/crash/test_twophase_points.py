"""Every crash point of a two-phase commit, in every way in which it can go wrong.

Each point is tried in each way on some combination of databases and log, and each row of the
table of points on every combination; all of them on all is what `make soak` runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.crash.combos import COMBOS, param
from tests.crash.job import Fault, World
from tests.crash.scenarios import POINTS, VARIANTS, Point, Run, recoveries
from tests.crash.stage import Combo
from tests.crash.theatre import Theatre

# The rows of the table that are about a way and not about a place: on every combination.
ALWAYS = {
    ("pause", "A4-voted"),
    ("pause", "A6-decided"),
    ("rival", "A4-voted"),
    ("rival", "A6-decided"),
    ("duel", "A4-voted"),
    ("lose", "A2-first"),
    ("lose", "A2-last"),
    ("lose", "A8-obeyed"),
    ("lose", "A18-done"),
}


def combos_for(variant: str, number: int, point: Point) -> list[Combo]:
    """Return where a point is tried in this way."""
    if (variant, point.name) in ALWAYS:
        return COMBOS
    if variant != "crash":
        return [COMBOS[number % len(COMBOS)]]
    # All points on the first combination, and on each other one of each row.
    row = [each.name for each in POINTS if each.row == point.row]
    place = row.index(point.name)
    return [COMBOS[0], *(c for i, c in enumerate(COMBOS[1:]) if i % len(row) == place)]


def every_case() -> Iterator[Any]:
    """Yield the cases, in turns of worlds and of the places where a recoverer fails."""
    worlds: Iterator[World] = cycle(("sync", "aio"))
    for variant in VARIANTS:
        for number, point in enumerate(POINTS):
            choice = recoveries(point, variant)
            for combo in combos_for(variant, number, point) if choice else []:
                recovery = choice[number % len(choice)]
                name = f"{variant}-{point.name}"
                yield param(combo, variant, point, next(worlds), recovery, name=name)


@pytest.mark.parametrize(("combo", "variant", "point", "world", "recovery"), list(every_case()))
def test_point(
    combo: Combo,
    variant: str,
    point: Point,
    world: World,
    recovery: Fault | None,
    theatre: Theatre,
    tmp_path: Path,
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        VARIANTS[variant](Run(stage, point, world, recovery))


def every_recovery() -> Iterator[Any]:
    """Yield each place where a recoverer can fail."""
    combos = cycle(COMBOS)
    for point in POINTS:
        if point.name in ("A4-voted", "A6-decided"):
            for recovery in recoveries(point, "again"):
                assert recovery is not None
                name = f"{point.name}-{recovery.state}-{recovery.command}-{recovery.when}"
                yield param(next(combos), point, recovery, name=name)


@pytest.mark.parametrize(("combo", "point", "recovery"), list(every_recovery()))
@pytest.mark.parametrize("variant", ["again", "rival"])
def test_recovery(
    combo: Combo, point: Point, recovery: Fault, variant: str, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        VARIANTS[variant](Run(stage, point, "sync", recovery))
