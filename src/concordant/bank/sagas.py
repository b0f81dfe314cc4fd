"""Transfers as sagas: a debit, then a credit, each committed by itself behind a barrier.

Between the two the money is on its way, which a saga lets others see. A crash leaves the saga
in the log, and whoever recovers it takes the locks anew and asks again who owns the account:
an account that an unfinished saga names is not moved (see mover.py), so its barriers are where
its ledger is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from concordant.bank.books import Books
from concordant.bank.inputs import Transfer
from concordant.bank.plan import BankPlan
from concordant.bank.teller import NO_FUNDS, Elsewhere, Leases, Result, Teller
from concordant.errors import StepFailed
from concordant.sync.client import Client
from concordant.sync.coordinator import Coordinator
from concordant.sync.saga import Saga
from concordant.sync.step import StepContext

_KNOWN = "known"
_DECLINED = "declined"


class SagaTeller(Teller):
    """Applies transfers by sagas; the identity of a transfer stays its ledger key."""

    def __init__(self, plan: BankPlan, client: Client, coordinator: Coordinator) -> None:
        super().__init__(plan, client, coordinator)
        # The leases under which this very thread runs a saga; a recovering thread has none.
        self._mine = threading.local()
        self.saga = Saga("transfer", pause_first_s=0.02, pause_cap_s=0.5, attempts_max=40)
        self.saga.step("debit", self._debit, self._undo_debit)
        self.saga.step("credit", self._credit, self._undo_credit)
        self.refusal = Saga("refusal", pause_first_s=0.02, pause_cap_s=0.5, attempts_max=40)
        self.refusal.step("decline", self._decline, self._undo_decline)
        self.refusal.step("publish", self._publish, self._undo_publish)
        coordinator.register(self.saga)
        coordinator.register(self.refusal)

    # --- what a transfer is ---------------------------------------------------------------

    def post(self, transfer: Transfer, leases: Leases, source: str, target: str) -> Result | None:
        """Run the saga under the locks that the caller holds."""
        with self._lending(leases):
            outcome = self.coordinator.run(self.saga, _payload(transfer))
        if outcome.state == "committed":
            return "applied"
        if outcome.reason.endswith(_KNOWN):
            return self._once_ended(transfer, "known", target)
        if outcome.reason.endswith(_DECLINED):
            return self._once_ended(transfer, "refused", target)
        if outcome.reason.endswith(NO_FUNDS):
            return None
        raise Elsewhere(f"the saga of {transfer.id} was undone: {outcome.reason}")

    def refuse(self, transfer: Transfer, leases: Leases, source: str) -> Result:
        """Decline with the account, then publish."""
        with self._lending(leases):
            outcome = self.coordinator.run(self.refusal, _payload(transfer))
        if outcome.state == "committed":
            return "refused"
        raise Elsewhere(f"the refusal of {transfer.id} was undone: {outcome.reason}")

    def _once_ended(self, transfer: Transfer, result: Result, target: str) -> Result:
        """Return the result of an earlier saga, if that has come to its end and not back."""
        if result == "known":
            credited = self.reader(target).read(transfer.id, transfer.target)
            ended = credited is not None and credited.entered
        else:
            home = self.first_ring.node(transfer.id).id
            ended = self.reader(home).has_refused(transfer.id)
        if not ended:
            raise Elsewhere(f"the saga of {transfer.id} is being recovered; try again")
        return result

    @contextmanager
    def _lending(self, leases: Leases) -> Iterator[None]:
        self._mine.leases = leases
        try:
            yield
        finally:
            self._mine.leases = None

    @contextmanager
    def _books(self, ctx: StepContext, account: str) -> Iterator[Books]:
        """Give the account's books past barrier and guard, on the shard that has it now."""
        lent: Leases | None = getattr(self._mine, "leases", None)
        if lent is not None:
            with self._on_shard(ctx, account, lent) as books:
                yield books
            return
        with self.hold(account) as leases, self._on_shard(ctx, account, leases) as books:
            yield books

    @contextmanager
    def _on_shard(self, ctx: StepContext, account: str, leases: Leases) -> Iterator[Books]:
        shard = self.locate(self.ring_in_force(), account)
        with ctx.local(self.plan.urls()[shard]) as connection:
            books = Books(connection)
            self.guard(books, account, leases)
            yield books

    # --- the steps ------------------------------------------------------------------------

    def _debit(self, ctx: StepContext) -> None:
        account, amount = ctx.payload["source"], ctx.payload["amount"]
        with self._books(ctx, account) as books:
            have = books.read(ctx.payload["id"], account)
            if have is None:
                raise _moved(account)
            if have.entered:
                raise StepFailed(_KNOWN)
            if have.declined:
                raise StepFailed(_DECLINED)
            if have.balance < amount:
                raise StepFailed(NO_FUNDS)
            books.post(ctx.payload["id"], account, -amount, have.balance - amount)

    def _undo_debit(self, ctx: StepContext) -> None:
        account, amount = ctx.payload["source"], ctx.payload["amount"]
        with self._books(ctx, account) as books:
            have = _present(books.balance(account), account)
            books.take_back(ctx.payload["id"], account, have + amount)

    def _credit(self, ctx: StepContext) -> None:
        account, amount = ctx.payload["target"], ctx.payload["amount"]
        with self._books(ctx, account) as books:
            have = _present(books.balance(account), account)
            books.post(ctx.payload["id"], account, amount, have + amount)

    def _undo_credit(self, ctx: StepContext) -> None:
        account, amount = ctx.payload["target"], ctx.payload["amount"]
        with self._books(ctx, account) as books:
            have = _present(books.balance(account), account)
            books.take_back(ctx.payload["id"], account, have - amount)

    def _decline(self, ctx: StepContext) -> None:
        account = ctx.payload["source"]
        with self._books(ctx, account) as books:
            have = books.read(ctx.payload["id"], account)
            if have is None:
                raise _moved(account)
            if have.balance >= ctx.payload["amount"] or have.entered:
                raise StepFailed("the account has changed")
            if not have.declined:
                books.decline(ctx.payload["id"], account)

    def _undo_decline(self, ctx: StepContext) -> None:
        account = ctx.payload["source"]
        with self._books(ctx, account) as books:
            books.undecline(ctx.payload["id"], account)

    def _publish(self, ctx: StepContext) -> None:
        home = self.plan.urls()[self.first_ring.node(ctx.payload["id"]).id]
        with ctx.local(home) as connection:
            Books(connection).refuse(ctx.payload["id"], NO_FUNDS)

    def _undo_publish(self, ctx: StepContext) -> None:
        home = self.plan.urls()[self.first_ring.node(ctx.payload["id"]).id]
        with ctx.local(home) as connection:
            Books(connection).unrefuse(ctx.payload["id"])


def _payload(transfer: Transfer) -> dict[str, Any]:
    return {
        "id": transfer.id,
        "source": transfer.source,
        "target": transfer.target,
        "amount": transfer.amount,
    }


def _present(balance: int | None, account: str) -> int:
    """Return the balance of an account that is here."""
    if balance is None:
        raise _moved(account)
    return balance


def _moved(account: str) -> Elsewhere:
    """Return what sends the caller to look for the account again."""
    return Elsewhere(f"account {account!r} is not on this shard; try again")
