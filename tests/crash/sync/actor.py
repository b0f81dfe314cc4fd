# Generated from tests/crash/aio/actor.py by tools/unasync.py; do not edit.
"""What a child process does: a transfer of money in one global transaction, or recovery."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from concordant import Coordinator
from concordant.errors import ConcordantError
from tests.crash.books import AMOUNT, dialect_of, new_effect
from tests.crash.job import Job, enough_file, idle_file
from tests.crash.sync.saboteur import Saboteur
from tests.provision.bridge import rows, sleep

_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Work:
    """The command of the body, so that faults can be laid into it."""


def act(job: Job) -> dict[str, Any]:
    """Do the job and return how it ended."""
    saboteur = Saboteur(job.faults, job.folder)
    with Coordinator(
        job.log,
        participants=job.urls(),
        owner_ttl_s=job.owner_ttl_s,
        # One that works on and on is helped by what the others recover.
        recover_every_s=0.1 if job.role == "transfers" else 3600,
        executor=saboteur,
    ) as coordinator:
        match job.role:
            case "transfer":
                ended = _transfer(job, coordinator, saboteur)
            case "transfers":
                ended = _transfers(job, coordinator, saboteur)
            case "recover":
                ended = _recover(coordinator)
            case "purge":
                ended = _purge(coordinator)
            case _:
                raise ValueError(f"no role {job.role} here")
        if job.recovers:
            coordinator.recover()
        idle_file(job.folder).touch()
        saboteur.finish()
    return ended


def _transfer(job: Job, coordinator: Coordinator, saboteur: Saboteur) -> dict[str, Any]:
    gid = job.gid if job.named else None
    try:
        with coordinator.transaction(*job.urls(), gid=gid) as connections:
            saboteur("body", "active", Work(), lambda: work(job, connections))
    except (ConcordantError, ConnectionError) as error:
        return {"ended": type(error).__name__, "message": str(error)}
    return {"ended": "committed"}


def _transfers(job: Job, coordinator: Coordinator, saboteur: Saboteur) -> dict[str, Any]:
    """Do one transfer after the other until it is enough."""
    errors = tuple({dialect_of(place).error for place in job.places})
    number, made = 0, 0
    while not enough_file(job.folder).exists():
        number += 1
        try:
            one = replace(job, gid=f"{job.gid}.{number}")
            made += (_transfer(one, coordinator, saboteur))["ended"] == "committed"
        except errors:
            # A row is in doubt; whoever recovers it first sets it free.
            sleep(0.01)
    return {"ended": "enough", "made": made}


def work(job: Job, connections: Sequence[Any]) -> None:
    """Move money from the first place to the others, or between two accounts of the first."""
    first, *others = zip(job.places, connections, strict=True)
    if job.shape in ("reading", "single"):
        for _, connection in others:
            rows(connection, "SELECT balance FROM account")
        _post(first, job.gid, "ada", -AMOUNT)
        _post(first, job.gid, "bob", AMOUNT)
        return
    _post(first, job.gid, "ada", -AMOUNT * len(others))
    for other in others:
        _post(other, job.gid, "bob", AMOUNT)
    if job.shape == "refused":
        place, connection = others[-1]
        try:
            rows(connection, dialect_of(place).not_preparable)
        except (ConcordantError, dialect_of(place).error):
            # Some databases refuse it at once; none may let the branch be prepared then.
            pass


def _post(where: Any, gid: str, account: str, amount: int) -> None:
    place, connection = where
    sql = dialect_of(place).sql
    rows(
        connection,
        sql("UPDATE account SET balance = balance + ? WHERE id = ?"),
        amount,
        account,
    )
    rows(connection, sql("INSERT INTO effect VALUES (?, ?, ?)"), new_effect(), gid, amount)


def _recover(coordinator: Coordinator) -> dict[str, Any]:
    """Recover until nothing is left to do."""
    recovered = 0
    end = time.monotonic() + _PATIENCE_S
    while coordinator.doubts():
        assert time.monotonic() < end, coordinator.doubts()
        recovered += coordinator.recover()
        sleep(0.01)
    return {"ended": "recovered", "branches": recovered}


def _purge(coordinator: Coordinator) -> dict[str, Any]:
    """Forget what can be forgotten, again and again."""
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        coordinator.purge(0)
    return {"ended": "purged"}
