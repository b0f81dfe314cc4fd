"""Whether the stores of a bank will do: what they promise, and whether they are there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial

from concordant.bank.plan import BankPlan
from concordant.drivers import registry
from concordant.drivers.capabilities import Capabilities
from concordant.drivers.urls import mask
from concordant.errors import GuaranteeUnavailable
from concordant.transactions.operations import OwnerStates


def check_promises(plan: BankPlan) -> None:
    """Raise GuaranteeUnavailable if a store cannot be what it is to be; none is asked.

    Locks and log are shared by several processes, and recovery reads the log after any crash.
    """
    with closing(registry.lock_store(plan.coordination)) as locks:
        _check_shared("coordination", plan.coordination, locks.capabilities)
    with closing(registry.transaction_log(plan.log)) as log:
        _check_shared("log", plan.log, log.capabilities)
        if not log.capabilities.survives_restart:
            raise GuaranteeUnavailable(
                f"--log {mask(plan.log)}: what it keeps is gone with its process; use sqlite:// or"
                " postgresql://"
            )
    for url in plan.urls().values():
        registry.participant(url).close()


def _check_shared(option: str, url: str, promises: Capabilities) -> None:
    if not promises.across_processes:
        raise GuaranteeUnavailable(
            f"--{option} {mask(url)}: only one process sees it, and the bank has several; use a"
            " file or a server"
        )


def questions(plan: BankPlan) -> list[tuple[str, Callable[[], None]]]:
    """Return for each store its printable place, and a call that returns once it answers."""
    asked = [
        (plan.coordination, _ask_locks),
        (plan.log, _ask_log),
        *((url, _ask_shard) for url in plan.urls().values()),
    ]
    return [(mask(url), partial(ask, url)) for url, ask in asked]


def _ask_locks(url: str) -> None:
    with closing(registry.lock_store(url)) as locks:
        locks.apply([])


def _ask_log(url: str) -> None:
    with closing(registry.transaction_log(url)) as log:
        log.apply([OwnerStates(())])


def _ask_shard(url: str) -> None:
    with closing(registry.participant(url)) as shard:
        shard.resource()
