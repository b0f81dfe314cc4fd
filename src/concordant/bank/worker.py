"""A worker process of the bank: `python -m concordant.bank.worker DIRECTORY SLOT WORKERS`.

It applies every transfer of its slot that is not settled yet, and reports on stdout, a line
of JSON an event. It ends when its stdin does, so that it never outlives the bank.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import ExitStack, closing
from typing import Any

from concordant.bank.books import Shard
from concordant.bank.inputs import Transfer
from concordant.bank.naive import make_teller
from concordant.bank.plan import OWNER_TTL_S, BankPlan
from concordant.bank.settled import Settled
from concordant.bank.teller import Teller
from concordant.errors import UsageError
from concordant.sync.client import Client
from concordant.sync.coordinator import Coordinator
from concordant.sync.recovery import Recovered

_REPORT_EVERY_S = 0.03
_output = threading.Lock()


def tell(event: str, **facts: Any) -> None:
    """Report one event."""
    line = json.dumps({"event": event, "pid": os.getpid(), **facts})
    with _output:
        print(line, flush=True)


def tell_recovered(recovered: Recovered) -> None:
    """Report a branch that this process brought to its end for another."""
    tell("recovered", gid=recovered.gid, outcome=recovered.outcome, owner=recovered.owner)


def settled(plan: BankPlan) -> frozenset[str]:
    """Return the transfers that are wholly applied, or refused, already."""
    with ExitStack() as opened:
        shards = [opened.enter_context(closing(Shard(url))) for url in plan.urls().values()]
        return Settled.read(plan, shards).all


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def _work(teller: Teller, transfers: list[Transfer]) -> None:
    applied = refused = 0
    told_s = time.monotonic()
    for transfer in transfers:
        result = teller.apply(transfer)
        applied += result == "applied"
        refused += result == "refused"
        if time.monotonic() - told_s > _REPORT_EVERY_S:
            tell("progress", applied=applied, refused=refused)
            applied = refused = 0
            told_s = time.monotonic()
    tell("progress", applied=applied, refused=refused)


def main(arguments: list[str]) -> int:
    """Run the worker; the exit code is 0 when its slot is done."""
    directory, slot, workers = arguments[0], int(arguments[1]), int(arguments[2])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    plan = BankPlan.load(directory)
    if plan is None:
        raise UsageError(f"no bank in {directory}")
    _, transfers = plan.inputs()
    urls = plan.urls()
    known = settled(plan)
    mine = [each for each in transfers[slot::workers] if each.id not in known]
    with (
        Client(plan.coordination) as client,
        Coordinator(
            plan.log,
            participants=urls.values(),
            owner_ttl_s=OWNER_TTL_S,
            recover_every_s=0.5,
            on_recovered=tell_recovered,
        ) as coordinator,
    ):
        tell("ready", owner=coordinator.ownership.owner, todo=len(mine))
        teller = make_teller(plan, client, coordinator)
        _work(teller, mine)
        tell("done")
        teller.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
