"""A transfer under a lock, as one ought to write it: the guard, then the reads, then the writes.

The balances are written as absolute values, so whoever read too early destroys money.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from concordant import Client, Coordinator
from tests.crash.books import AMOUNT, dialect_of, new_effect
from tests.crash.job import Job, Place
from tests.crash.sync.saboteur import Saboteur
from tests.provision.bridge import rows

LOCK = "the accounts"
# Nobody waits for it to run out while its holder lives.
LOCK_TTL_S = 0.4

_GUARDS = {"sqlite": "sqlite", "postgresql": "postgres"}


def guard_of(place: Place) -> Callable[[Any, str, Any], None]:
    """Return the guard that the place's database checks fences with."""
    module = import_module(f"concordant.drivers.{_GUARDS[place.backend]}.guard")
    guard: Callable[[Any, str, Any], None] = module.guard
    return guard


def pass_guards(job: Job, connections: Sequence[Any], lease: Any) -> None:
    """Keep out older holders, and wait for or refuse what they left in doubt."""
    for place, connection in zip(job.places, connections, strict=True):
        guard_of(place)(connection, LOCK, lease)


def read(job: Job, connections: Sequence[Any]) -> list[int]:
    """Return the balances that a transfer is about: the payer's, then the payees'."""
    found = []
    for number, connection in enumerate(connections):
        account = "bob" if number else "ada"
        [(balance,)] = rows(connection, f"SELECT balance FROM account WHERE id = '{account}'")
        found.append(balance)
    return found


def write(job: Job, connections: Sequence[Any], before: Sequence[int]) -> None:
    """Set the balances to what they are to be after the transfer."""
    others = len(connections) - 1
    for number, connection in enumerate(connections):
        sql = dialect_of(job.places[number]).sql
        account, amount = ("bob", AMOUNT) if number else ("ada", -AMOUNT * others)
        after = before[number] + amount
        rows(connection, sql("UPDATE account SET balance = ? WHERE id = ?"), after, account)
        rows(connection, sql("INSERT INTO effect VALUES (?, ?, ?)"), new_effect(), job.gid, amount)


def pay_guarded(job: Job) -> dict[str, Any]:
    """Do the transfer, in a child process."""
    saboteur = Saboteur(job.faults, job.folder)
    with (
        Client(job.locks) as client,
        Coordinator(
            job.log,
            participants=job.urls(),
            owner_ttl_s=job.owner_ttl_s,
            recover_every_s=3600,
            executor=saboteur,
        ) as coordinator,
        client.lock(LOCK, ttl_s=LOCK_TTL_S) as lease,
        coordinator.transaction(*job.urls(), gid=job.gid) as connections,
    ):
        pass_guards(job, connections, lease)
        write(job, connections, read(job, connections))
    return {"ended": "committed"}
