"""What a child process does: a transfer of money in one global transaction, or recovery."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from concordant import AsyncCoordinator
from concordant.errors import ConcordantError
from tests.crash.aio.saboteur import AsyncSaboteur
from tests.crash.books import AMOUNT, dialect_of, new_effect
from tests.crash.job import Job, enough_file, idle_file
from tests.provision.bridge import async_rows, async_sleep

_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Work:
    """The command of the body, so that faults can be laid into it."""


async def act(job: Job) -> dict[str, Any]:
    """Do the job and return how it ended."""
    saboteur = AsyncSaboteur(job.faults, job.folder)
    async with AsyncCoordinator(
        job.log,
        participants=job.urls(),
        owner_ttl_s=job.owner_ttl_s,
        # One that works on and on is helped by what the others recover.
        recover_every_s=0.1 if job.role == "transfers" else 3600,
        executor=saboteur,
    ) as coordinator:
        match job.role:
            case "transfer":
                ended = await _transfer(job, coordinator, saboteur)
            case "transfers":
                ended = await _transfers(job, coordinator, saboteur)
            case "recover":
                ended = await _recover(coordinator)
            case "purge":
                ended = await _purge(coordinator)
            case _:
                raise ValueError(f"no role {job.role} here")
        if job.recovers:
            await coordinator.recover()
        idle_file(job.folder).touch()
        await saboteur.finish()
    return ended


async def _transfer(
    job: Job, coordinator: AsyncCoordinator, saboteur: AsyncSaboteur
) -> dict[str, Any]:
    gid = job.gid if job.named else None
    try:
        async with coordinator.transaction(*job.urls(), gid=gid) as connections:
            await saboteur("body", "active", Work(), lambda: work(job, connections))
    except (ConcordantError, ConnectionError) as error:
        return {"ended": type(error).__name__, "message": str(error)}
    return {"ended": "committed"}


async def _transfers(
    job: Job, coordinator: AsyncCoordinator, saboteur: AsyncSaboteur
) -> dict[str, Any]:
    """Do one transfer after the other until it is enough."""
    errors = tuple({dialect_of(place).error for place in job.places})
    number, made = 0, 0
    while not enough_file(job.folder).exists():
        number += 1
        try:
            one = replace(job, gid=f"{job.gid}.{number}")
            made += (await _transfer(one, coordinator, saboteur))["ended"] == "committed"
        except errors:
            # A row is in doubt; whoever recovers it first sets it free.
            await async_sleep(0.01)
    return {"ended": "enough", "made": made}


async def work(job: Job, connections: Sequence[Any]) -> None:
    """Move money from the first place to the others, or between two accounts of the first."""
    first, *others = zip(job.places, connections, strict=True)
    if job.shape in ("reading", "single"):
        for _, connection in others:
            await async_rows(connection, "SELECT balance FROM account")
        await _post(first, job.gid, "ada", -AMOUNT)
        await _post(first, job.gid, "bob", AMOUNT)
        return
    await _post(first, job.gid, "ada", -AMOUNT * len(others))
    for other in others:
        await _post(other, job.gid, "bob", AMOUNT)
    if job.shape == "refused":
        place, connection = others[-1]
        try:
            await async_rows(connection, dialect_of(place).not_preparable)
        except (ConcordantError, dialect_of(place).error):
            # Some databases refuse it at once; none may let the branch be prepared then.
            pass


async def _post(where: Any, gid: str, account: str, amount: int) -> None:
    place, connection = where
    sql = dialect_of(place).sql
    await async_rows(
        connection,
        sql("UPDATE account SET balance = balance + ? WHERE id = ?"),
        amount,
        account,
    )
    await async_rows(
        connection, sql("INSERT INTO effect VALUES (?, ?, ?)"), new_effect(), gid, amount
    )


async def _recover(coordinator: AsyncCoordinator) -> dict[str, Any]:
    """Recover until nothing is left to do."""
    recovered = 0
    end = time.monotonic() + _PATIENCE_S
    while await coordinator.doubts():
        assert time.monotonic() < end, await coordinator.doubts()
        recovered += await coordinator.recover()
        await async_sleep(0.01)
    return {"ended": "recovered", "branches": recovered}


async def _purge(coordinator: AsyncCoordinator) -> dict[str, Any]:
    """Forget what can be forgotten, again and again."""
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        await coordinator.purge(0)
    return {"ended": "purged"}
