"""One transfer, done once: locks, then guards, then reads, then writes, in one transaction."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Literal

from concordant.bank.books import Books, Fenced, Shard, lock_name
from concordant.bank.inputs import Transfer
from concordant.bank.plan import LOCK_TTL_S, BankPlan
from concordant.bank.ringrow import RingInForce, RingRow
from concordant.errors import (
    BackendUnavailable,
    LockLost,
    LockTimeout,
    OutcomeUnknown,
    StaleFence,
    TransactionAborted,
)
from concordant.sync.client import Client
from concordant.sync.coordinator import Coordinator

Result = Literal["applied", "refused", "known"]
Leases = Mapping[str, Fenced]

# Nothing is known to have happened, or it can be found out by trying again: the identity of
# a transfer is its ledger key, and every try reads that first.
AGAIN: Final = (
    BackendUnavailable,
    LockLost,
    LockTimeout,
    OutcomeUnknown,
    StaleFence,
    TransactionAborted,
)
_PATIENCE_S: Final = 60.0
NO_FUNDS: Final = "insufficient funds"


class Elsewhere(BackendUnavailable):
    """The account is not on the shard where it was looked for; look again."""


class Teller:
    """Applies transfers by two-phase commit."""

    def __init__(self, plan: BankPlan, client: Client, coordinator: Coordinator) -> None:
        self.plan = plan
        self.client = client
        self.coordinator = coordinator
        self.rings = RingRow(plan.coordination, plan.id)
        self.first_ring = plan.first_ring()
        self._readers: dict[str, Shard] = {}

    def apply(self, transfer: Transfer) -> Result:
        """Apply the transfer or refuse it, once and for good; tries until it is settled."""
        end_s = time.monotonic() + _PATIENCE_S
        pause_s = 0.005
        while True:
            try:
                return self.attempt(transfer)
            except AGAIN:
                if time.monotonic() > end_s:
                    raise
            time.sleep(pause_s * random.random())
            pause_s = min(pause_s * 2, 0.2)

    def attempt(self, transfer: Transfer) -> Result:
        """Try once, under the locks of both accounts."""
        with self.hold(transfer.source, transfer.target) as leases:
            ring = self.ring_in_force()
            source = self.locate(ring, transfer.source)
            target = self.locate(ring, transfer.target)
            result = self.post(transfer, leases, source, target)
            if result is None:
                result = self.refuse(transfer, leases, source)
            return result

    @contextmanager
    def hold(self, *accounts: str) -> Iterator[Leases]:
        """Hold the accounts' locks; they are released only after phase two."""
        names = {account: f"{self.plan.id}/{lock_name(account)}" for account in accounts}
        locks = self.client.locks(names.values(), ttl_s=LOCK_TTL_S, timeout_s=_PATIENCE_S)
        with locks as held:
            yield {account: held[name] for account, name in names.items()}

    def guard(self, books: Books, account: str, leases: Leases) -> None:
        """Keep out who holds an older lease; before anything is read."""
        books.guard(account, leases[account])

    def ring_in_force(self) -> RingInForce:
        """Read the ring's row; only under the account locks is it true for long enough."""
        ring = self.rings.read()
        if ring is None:
            raise BackendUnavailable("the ring's row is not there yet; try again")
        return ring

    def locate(self, ring: RingInForce, account: str) -> str:
        """Return the shard that has the account now; the caller holds its lock."""
        owners = ring.owners(account)
        if len(owners) == 1 or self.reader(owners[0]).balance(account) is not None:
            return owners[0]
        return owners[1]

    def reader(self, shard: str) -> Shard:
        """Return a connection for reads outside of transactions, a new one if it broke."""
        known = self._readers.get(shard)
        if known is None or known.broken:
            known = self._readers[shard] = Shard(self.plan.urls()[shard])
        return known

    def post(self, transfer: Transfer, leases: Leases, source: str, target: str) -> Result | None:
        """Move the money in one transaction, or return None if there is not enough."""
        shards = list(dict.fromkeys((source, target)))
        with self.transaction(*shards) as connections:
            books = {name: Books(each) for name, each in zip(shards, connections, strict=True)}
            debit, credit = books[source], books[target]
            self.guard(debit, transfer.source, leases)
            self.guard(credit, transfer.target, leases)
            have = debit.read(transfer.id, transfer.source)
            other = credit.read(transfer.id, transfer.target)
            if have is None or other is None:
                raise Elsewhere(f"an account of {transfer.id} has moved; try again")
            if have.entered or have.declined:
                return "known" if have.entered else "refused"
            if have.balance < transfer.amount:
                return None
            amount = transfer.amount
            debit.post(transfer.id, transfer.source, -amount, have.balance - amount)
            credit.post(transfer.id, transfer.target, amount, other.balance + amount)
        return "applied"

    def refuse(self, transfer: Transfer, leases: Leases, source: str) -> Result:
        """Refuse for good: the account's own note and the public row commit together."""
        home = self.first_ring.node(transfer.id).id
        shards = list(dict.fromkeys((source, home)))
        with self.transaction(*shards) as connections:
            books = {name: Books(each) for name, each in zip(shards, connections, strict=True)}
            debit = books[source]
            self.guard(debit, transfer.source, leases)
            have = debit.read(transfer.id, transfer.source)
            if have is None or have.balance >= transfer.amount:
                raise Elsewhere(f"the source account of {transfer.id} has changed; try again")
            if not have.declined:
                debit.decline(transfer.id, transfer.source)
                books[home].refuse(transfer.id, NO_FUNDS)
        return "refused"

    def transaction(self, *shards: str) -> AbstractContextManager[tuple[Any, ...]]:
        """Return a transaction over shards named as on the ring."""
        urls = self.plan.urls()
        return self.coordinator.transaction(*(urls[name] for name in shards))

    def close(self) -> None:
        """Close what this object opened."""
        self.rings.close()
        for reader in self._readers.values():
            reader.close()
