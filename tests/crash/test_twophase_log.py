"""What a crash may do to the log itself: a torn decision, and forgetting cut short."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from concordant.drivers import registry
from concordant.drivers.urls import file_path
from concordant.transactions.names import new_gid
from concordant.transactions.operations import Decide, Finish, Listing, Load
from tests.crash import wal
from tests.crash.combos import COMBOS, param
from tests.crash.harness import wait_until
from tests.crash.scenarios import POINTS, Run
from tests.crash.stage import ALIVE_S, DEAD_SOON_S, Combo
from tests.crash.theatre import Theatre

[DECIDED] = [point for point in POINTS if point.name == "A6-decided"]
# On the first pair every damage, on each other one those of which there is most.
TORN = [
    param(combo, damage, name=damage.__name__)
    for number, combo in enumerate(each for each in COMBOS if each.log.name == "sqlite")
    for damage in (wal.DAMAGES if not number else (wal.cut_one_byte, wal.flip_a_bit))
]


def decisions(log_url: str, gid: str) -> list[str]:
    """Return the outcome that a log holds for the gid, if any."""
    with closing(registry.transaction_log(log_url)) as log:
        (listing,) = log.apply([Load(gid)])
        assert isinstance(listing, Listing)
        return [decision.outcome for decision in listing.decisions]


def forgotten(log_url: str, gid: str) -> bool:
    """Tell whether the log holds nothing of the gid."""
    return not decisions(log_url, gid)


@pytest.mark.parametrize(("combo", "damage"), TORN)
def test_a_torn_decision_is_none(
    combo: Combo, damage: wal.Damage, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        run = Run(stage, DECIDED, "sync")
        # The lease is so long that it is not renewed after the decision was written.
        child = run.start("crash", ALIVE_S)
        child.crashed()
        log = Path(file_path(stage.log))
        whole = wal.copy_database(log, tmp_path / "whole.db")
        torn = wal.copy_database(log, tmp_path / "torn.db")
        wal.tear(torn, damage)
        wal.copy_database(torn, log)
        assert decisions(f"sqlite://{whole}", child.job.gid) == ["commit"]
        assert decisions(stage.log, child.job.gid) == []
        stage.declare_dead()
        run.check(child, None, "abort")


@pytest.mark.parametrize("combo", [param(combo) for combo in COMBOS])
def test_forgetting_that_is_cut_short_keeps_what_is_unfinished(
    combo: Combo, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        run = Run(stage, DECIDED, "sync")
        child = run.start("crash", DEAD_SOON_S)
        child.crashed()
        for _ in range(3):
            # It knows no database, so all that it can do with the decision is to keep it.
            purger = stage.start(replace(stage.job("purge", "sync"), places=()))
            first = write_finished(stage.log)
            wait_until(partial(forgotten, stage.log, first), "it has begun to forget")
            write_finished(stage.log)
            purger.kill()
            assert decisions(stage.log, child.job.gid) == ["commit"]
        run.check(child, None, "commit")


def write_finished(log_url: str) -> str:
    """Write decisions that are finished, and return one of their gids."""
    gids = [new_gid() for _ in range(100)]
    with closing(registry.transaction_log(log_url)) as log:
        log.apply([Decide(gid, "abort", "somebody", 1) for gid in gids])
        log.apply([Finish(gid) for gid in gids])
    return gids[0]
