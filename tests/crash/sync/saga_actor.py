# Generated from tests/crash/aio/saga_actor.py by tools/unasync.py; do not edit.
"""What a child process does with sagas: it moves money by one, or recovers those of others."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from concordant import Coordinator, Saga, StepContext, StepFailed
from concordant._bridge.sync import Executor
from concordant.errors import ConcordantError
from tests.crash.books import AMOUNT, dialect_of, new_effect
from tests.crash.job import Job, Place, idle_file
from tests.crash.sync.saboteur import Saboteur
from tests.provision.bridge import rows, sleep
from tests.surface.sync.moving import FirstPass
from tests.surface.together import eventually

_PATIENCE_S = 20.0

Op = Literal["action", "compensation"]


@dataclass(frozen=True, slots=True)
class Enter:
    """The command of a step's function before its barrier, so that faults can be laid there."""


@dataclass(frozen=True, slots=True)
class Work:
    """The command of a step's work, past its barrier."""


def act(job: Job) -> dict[str, Any]:
    """Do the job and return how it ended."""
    saboteur = Saboteur(job.faults, job.folder)
    saga = saga_of(job, saboteur)
    first = FirstPass(saboteur)
    coordinator = Coordinator(
        job.log, owner_ttl_s=job.owner_ttl_s, recover_every_s=3600, executor=first
    )
    coordinator.register(saga)
    with coordinator:
        if job.role == "saga":
            # One thing at a time, so that a fault strikes nothing else.
            eventually(first.over)
            ended = _run(job, coordinator, saga)
        else:
            ended = _recover(coordinator)
        if job.recovers:
            _recover(coordinator)
        idle_file(job.folder).touch()
        saboteur.finish()
    return ended


def _run(job: Job, coordinator: Coordinator, saga: Saga) -> dict[str, Any]:
    try:
        outcome = coordinator.run(saga, {"amount": AMOUNT}, gid=job.gid, timeout_s=job.timeout_s)
    except ConcordantError as error:
        return {"ended": type(error).__name__, "message": str(error)}
    return {"ended": outcome.state, "message": outcome.reason, "fresh": outcome.fresh}


def _recover(coordinator: Coordinator) -> dict[str, Any]:
    """Recover until nothing is left to do."""
    end = time.monotonic() + _PATIENCE_S
    while coordinator.sagas():
        assert time.monotonic() < end, coordinator.sagas()
        coordinator.recover()
        sleep(0.01)
    return {"ended": "recovered"}


def saga_of(job: Job, executor: Executor) -> Saga:
    """Return the saga that moves money from the job's first place to the others."""
    saga = Saga("transfer", attempts_max=job.attempts_max, pause_first_s=0.01, pause_cap_s=0.02)
    for index, place in enumerate(job.places):
        account = "bob" if index else "ada"
        share = 1 if index else 1 - len(job.places)
        refused = job.shape == "refused" and index == len(job.places) - 1
        saga.step(
            f"move-{index}",
            _function(executor, "action", place, _action(place, account, share, refused)),
            _function(executor, "compensation", place, _compensation(place, account, share)),
        )
    return saga


_Work = Callable[[StepContext, Any], None]


def _function(
    executor: Executor, op: Op, place: Place, work: _Work
) -> Callable[[StepContext], None]:
    def nothing() -> None:
        pass

    def function(ctx: StepContext) -> None:
        executor("step", op, Enter(), nothing)
        with ctx.local(place.url) as connection:
            executor("step", op, Work(), lambda: work(ctx, connection))

    return function


def _action(place: Place, account: str, share: int, refused: bool) -> _Work:
    def work(ctx: StepContext, connection: Any) -> None:
        amount = share * ctx.payload["amount"]
        _add(place, connection, account, amount)
        insert = dialect_of(place).sql("INSERT INTO effect VALUES (?, ?, ?)")
        rows(connection, insert, new_effect(), ctx.gid, amount)
        if refused:
            raise StepFailed("no, once and for all")

    return work


def _compensation(place: Place, account: str, share: int) -> _Work:
    def work(ctx: StepContext, connection: Any) -> None:
        _add(place, connection, account, -share * ctx.payload["amount"])
        delete = dialect_of(place).sql("DELETE FROM effect WHERE gid = ?")
        rows(connection, delete, ctx.gid)

    return work


def _add(place: Place, connection: Any, account: str, amount: int) -> None:
    update = dialect_of(place).sql("UPDATE account SET balance = balance + ? WHERE id = ?")
    rows(connection, update, amount, account)
