"""What a child process does with sagas: it moves money by one, or recovers those of others."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from concordant import AsyncCoordinator, AsyncSaga, AsyncStepContext, StepFailed
from concordant._bridge.aio import Executor
from concordant.errors import ConcordantError
from tests.crash.aio.saboteur import AsyncSaboteur
from tests.crash.books import AMOUNT, dialect_of, new_effect
from tests.crash.job import Job, Place, idle_file
from tests.provision.bridge import async_rows, async_sleep
from tests.surface.aio.moving import FirstPass
from tests.surface.together import async_eventually

_PATIENCE_S = 20.0

Op = Literal["action", "compensation"]


@dataclass(frozen=True, slots=True)
class Enter:
    """The command of a step's function before its barrier, so that faults can be laid there."""


@dataclass(frozen=True, slots=True)
class Work:
    """The command of a step's work, past its barrier."""


async def act(job: Job) -> dict[str, Any]:
    """Do the job and return how it ended."""
    saboteur = AsyncSaboteur(job.faults, job.folder)
    saga = saga_of(job, saboteur)
    first = FirstPass(saboteur)
    coordinator = AsyncCoordinator(
        job.log, owner_ttl_s=job.owner_ttl_s, recover_every_s=3600, executor=first
    )
    coordinator.register(saga)
    async with coordinator:
        if job.role == "saga":
            # One thing at a time, so that a fault strikes nothing else.
            await async_eventually(first.over)
            ended = await _run(job, coordinator, saga)
        else:
            ended = await _recover(coordinator)
        if job.recovers:
            await _recover(coordinator)
        idle_file(job.folder).touch()
        await saboteur.finish()
    return ended


async def _run(job: Job, coordinator: AsyncCoordinator, saga: AsyncSaga) -> dict[str, Any]:
    try:
        outcome = await coordinator.run(
            saga, {"amount": AMOUNT}, gid=job.gid, timeout_s=job.timeout_s
        )
    except ConcordantError as error:
        return {"ended": type(error).__name__, "message": str(error)}
    return {"ended": outcome.state, "message": outcome.reason, "fresh": outcome.fresh}


async def _recover(coordinator: AsyncCoordinator) -> dict[str, Any]:
    """Recover until nothing is left to do."""
    end = time.monotonic() + _PATIENCE_S
    while await coordinator.sagas():
        assert time.monotonic() < end, await coordinator.sagas()
        await coordinator.recover()
        await async_sleep(0.01)
    return {"ended": "recovered"}


def saga_of(job: Job, executor: Executor) -> AsyncSaga:
    """Return the saga that moves money from the job's first place to the others."""
    saga = AsyncSaga(
        "transfer", attempts_max=job.attempts_max, pause_first_s=0.01, pause_cap_s=0.02
    )
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


_Work = Callable[[AsyncStepContext, Any], Awaitable[None]]


def _function(
    executor: Executor, op: Op, place: Place, work: _Work
) -> Callable[[AsyncStepContext], Awaitable[None]]:
    async def nothing() -> None:
        pass

    async def function(ctx: AsyncStepContext) -> None:
        await executor("step", op, Enter(), nothing)
        async with ctx.local(place.url) as connection:
            await executor("step", op, Work(), lambda: work(ctx, connection))

    return function


def _action(place: Place, account: str, share: int, refused: bool) -> _Work:
    async def work(ctx: AsyncStepContext, connection: Any) -> None:
        amount = share * ctx.payload["amount"]
        await _add(place, connection, account, amount)
        insert = dialect_of(place).sql("INSERT INTO effect VALUES (?, ?, ?)")
        await async_rows(connection, insert, new_effect(), ctx.gid, amount)
        if refused:
            raise StepFailed("no, once and for all")

    return work


def _compensation(place: Place, account: str, share: int) -> _Work:
    async def work(ctx: AsyncStepContext, connection: Any) -> None:
        await _add(place, connection, account, -share * ctx.payload["amount"])
        delete = dialect_of(place).sql("DELETE FROM effect WHERE gid = ?")
        await async_rows(connection, delete, ctx.gid)

    return work


async def _add(place: Place, connection: Any, account: str, amount: int) -> None:
    update = dialect_of(place).sql("UPDATE account SET balance = balance + ? WHERE id = ?")
    await async_rows(connection, update, amount, account)
