"""The same kind of input and faults, each time without one of the three; what is lost is real."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Final

from concordant.bank.inputs import generate, write_accounts, write_transfers
from concordant.bank.outcome import Outcome
from concordant.bank.plain import file_url
from concordant.bank.plan import ACCOUNTS_FILE, TRANSFERS_FILE, BankPlan, Without
from concordant.bank.progress import Watch
from concordant.bank.run import Run

VARIANTS: Final[tuple[Without, ...]] = ("locks", "transactions", "ring")
_KILLS_MAX: Final = 2


def contrast_plan(plan: BankPlan, without: Without) -> BankPlan:
    """Return the plan of one contrast run: SQLite shards of its own, the same coordination.

    It gets a fresh directory below the bank's each time, since what an earlier run has lost
    cannot be lost again.
    """
    directory = Path(
        plan.directory, "contrast", f"{without or 'concordant'}-{secrets.token_hex(3)}"
    )
    directory.mkdir(parents=True)
    names = [*plan.shards, plan.joining]
    urls = {name: file_url(directory / f"{name}.db") for name in names}
    own = plan.coordination.startswith("sqlite://")
    return replace(
        plan,
        id=secrets.token_hex(4),
        directory=str(directory),
        shards={name: urls[name] for name in plan.shards},
        joining_url=urls[plan.joining],
        coordination=file_url(directory / "coordination.db") if own else plan.coordination,
        log=file_url(directory / "log.db"),
        pattern="2pc",
        kills=min(plan.kills, _KILLS_MAX),
        without=without,
    )


def run_without(plan: BankPlan, without: Without, transfers: int, watch: Watch) -> Outcome:
    """Run the bank without locks, transactions or the ring, on input made up from the seed.

    With an empty `without` nothing is left out, on the same input and with the same faults.
    """
    variant = contrast_plan(plan, without)
    accounts, asked = generate(plan.seed, transfers=transfers)
    write_accounts(Path(variant.directory, ACCOUNTS_FILE), accounts)
    write_transfers(Path(variant.directory, TRANSFERS_FILE), asked)
    variant.save(accounts, len(asked), joined=False)
    return Run(variant, watch).execute()
