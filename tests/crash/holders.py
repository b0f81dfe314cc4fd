"""Holders of a lock that come to their death with branches in doubt."""

from __future__ import annotations

from concordant.transactions.names import new_gid
from tests.crash.job import Job
from tests.crash.scenarios import Point
from tests.crash.stage import DEAD_SOON_S, Stage
from tests.provision.sqlite import SQLITE


def crashed_holder(stage: Stage, point: Point) -> Job:
    """Let a holder of the lock come to its death at the point, and return what it did."""
    assert SQLITE.lock_url is not None
    job = stage.job(
        "guarded",
        "sync",
        point.fault("crash"),
        gid=new_gid(),
        owner_ttl_s=DEAD_SOON_S,
        locks=SQLITE.lock_url(stage.folder),
    )
    stage.start(job).crashed()
    assert [len(branches) for branches in stage.in_doubt()] == [1, 1]
    return job
