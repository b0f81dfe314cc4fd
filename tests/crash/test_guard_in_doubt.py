"""A holder prepares and dies: the next holder of its lock must not read before the guard.

The dead one's branches may still commit. Whoever read the balances before that, and then
passes the guard, writes what was right before: the money that moved meanwhile is lost.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from concordant import BackendUnavailable, Client, Coordinator
from concordant.transactions.names import new_gid
from tests.crash.books import AMOUNT, BEFORE
from tests.crash.combos import COMBOS, LOGS, param
from tests.crash.guarded import LOCK, pass_guards, read, write
from tests.crash.holders import crashed_holder
from tests.crash.job import Job
from tests.crash.scenarios import POINTS, Point
from tests.crash.stage import Combo, Stage
from tests.crash.theatre import Theatre

DECIDED = [point for point in POINTS if point.name in ("A4-voted", "A6-decided")]
# What the guard does depends on the databases alone, not on the log.
CASES = [
    param(combo, point, name=point.name)
    for combo in COMBOS
    for point in DECIDED
    if combo.log is LOGS[0]
]


def money(stage: Stage) -> list[tuple[int, int]]:
    """Return, place by place, what the balance changed by and what was said to have moved."""
    return [
        (sum(books.balances().values()) - sum(BEFORE.values()), books.moved())
        for books in stage.books
    ]


@pytest.mark.parametrize(("combo", "point"), CASES)
def test_the_next_holder_is_kept_out_and_then_reads_anew(
    combo: Combo, point: Point, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage, stage.coordinator() as coordinator:
        dead = crashed_holder(stage, point)
        mine = replace(dead, gid=new_gid())
        with Client(dead.locks) as client, client.lock(LOCK, timeout_s=20) as lease:
            with pytest.raises(BackendUnavailable):
                transfer(mine, coordinator, lease)
            assert [len(branches) for branches in stage.in_doubt()] == [1, 1]
            stage.settle()
            transfer(replace(mine, gid=new_gid()), coordinator, lease)
        times = 2 if point.outcome == "commit" else 1
        assert money(stage) == [(-AMOUNT * times,) * 2, (AMOUNT * times,) * 2]


def transfer(job: Job, coordinator: Coordinator, lease: object) -> None:
    """Transfer as it ought to be done."""
    with coordinator.transaction(*job.urls(), gid=job.gid) as connections:
        pass_guards(job, connections, lease)
        write(job, connections, read(job, connections))


@pytest.mark.parametrize(("combo", "point"), [CASES[1]])
def test_who_reads_before_the_guard_loses_money(
    combo: Combo, point: Point, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage, stage.coordinator() as coordinator:
        dead = crashed_holder(stage, point)
        mine = replace(dead, gid=new_gid())
        with Client(dead.locks) as client, client.lock(LOCK, timeout_s=20) as lease:
            with coordinator.transaction(*mine.urls()) as connections:
                early = read(mine, connections)
            stage.settle()
            with coordinator.transaction(*mine.urls(), gid=mine.gid) as connections:
                pass_guards(mine, connections, lease)
                write(mine, connections, early)
        # Two transfers were made by all accounts, and the balances know of one.
        assert money(stage) == [(-AMOUNT, -2 * AMOUNT), (AMOUNT, 2 * AMOUNT)]
