"""Open the bank on its shards: tables, accounts, and the first ring."""

from __future__ import annotations

from collections.abc import Iterable

from concordant.bank.books import Shard
from concordant.bank.inputs import Account
from concordant.bank.naive import SetIfAbsent
from concordant.bank.plan import BankPlan
from concordant.bank.ringrow import RingRow


def open_bank(plan: BankPlan, accounts: Iterable[Account], shards: dict[str, Shard]) -> None:
    """Make what is missing, and open the accounts unless that was done; can be repeated."""
    for shard in shards.values():
        shard.prepare()
    if plan.without == "locks":
        SetIfAbsent(plan.coordination).prepare()
    rings = RingRow(plan.coordination, plan.id)
    rings.prepare()
    if rings.read() is None:
        first = plan.first_ring()
        by_shard: dict[str, list[Account]] = {name: [] for name in shards}
        for account in accounts:
            by_shard[first.node(account.id).id].append(account)
        for name, opened in by_shard.items():
            shards[name].open_accounts(opened)
        # Written last: while it is missing, opening is done again from the start.
        rings.write(1, first, None)
    rings.close()
