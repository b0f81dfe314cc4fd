"""The bank as it is often built, for comparison: without fenced locks, or transactions.

What these lose is lost for real, by the same faults that the bank itself survives.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from concordant.bank.books import Books, Shard, lock_name
from concordant.bank.inputs import Transfer
from concordant.bank.plain import Redis, Sql, connect, is_collision, is_redis
from concordant.bank.plan import BankPlan
from concordant.bank.sagas import SagaTeller
from concordant.bank.teller import Leases, Result, Teller
from concordant.errors import BackendUnavailable, LockTimeout
from concordant.sync.client import Client
from concordant.sync.coordinator import Coordinator

EXPIRY_S: Final = 0.25
_PAUSE_S: Final = 0.4
# One holder in so many is paused past the expiry, as a garbage collection or a swap does it.
_PAUSED_ONE_IN: Final = 25
_POLL_S: Final = 0.004
_WAIT_S: Final = 20.0
_DELETE_OWN: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


class _SqlKeys:
    """Keys that expire, in a table."""

    def __init__(self, url: str) -> None:
        self._sql = Sql(connect(url))

    def prepare(self) -> None:
        self._sql.create(
            "CREATE TABLE IF NOT EXISTS naive_lock"
            " (name {text} PRIMARY KEY, token {text} NOT NULL, expires_s {real} NOT NULL)"
        )

    def set(self, name: str, token: str) -> bool:
        now_s = time.time()
        done = self._sql.execute(
            "INSERT INTO naive_lock VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE"
            " SET token = excluded.token, expires_s = excluded.expires_s"
            " WHERE naive_lock.expires_s < ?",
            *(name, token, now_s + EXPIRY_S, now_s),
        )
        return bool(done.rowcount == 1)

    def delete(self, name: str, token: str) -> None:
        self._sql.execute("DELETE FROM naive_lock WHERE name = ? AND token = ?", name, token)


class _RedisKeys:
    """Keys that expire, in Redis."""

    def __init__(self, url: str) -> None:
        self._redis = Redis(url)

    def prepare(self) -> None:
        """Nothing has to be made."""

    def set(self, name: str, token: str) -> bool:
        return self._redis.set_if_absent(f"naive:{name}", token, round(EXPIRY_S * 1000))

    def delete(self, name: str, token: str) -> None:
        self._redis.eval(_DELETE_OWN, f"naive:{name}", token)


class SetIfAbsent:
    """The usual lock: set a key if it is absent, with an expiry, and no fence."""

    def __init__(self, url: str) -> None:
        self._keys = _RedisKeys(url) if is_redis(url) else _SqlKeys(url)

    def prepare(self) -> None:
        """Make what the keys need, unless it is there; before the workers start."""
        self._keys.prepare()

    def acquire(self, name: str, token: str) -> None:
        """Poll until the key could be set."""
        end_s = time.monotonic() + _WAIT_S
        while not self._keys.set(name, token):
            if time.monotonic() > end_s:
                raise LockTimeout(f"{name!r} was busy for {_WAIT_S} s")
            time.sleep(_POLL_S)

    def release(self, name: str, token: str) -> None:
        """Delete the key if it is still one's own."""
        self._keys.delete(name, token)


class WithoutLocks(Teller):
    """Balances are read in one transaction and written as absolute values in another."""

    def __init__(self, plan: BankPlan, client: Client, coordinator: Coordinator) -> None:
        super().__init__(plan, client, coordinator)
        self._locks = SetIfAbsent(plan.coordination)
        self._random = random.Random(plan.seed)

    @contextmanager
    def hold(self, *accounts: str) -> Iterator[Leases]:
        """Hold locks that may be gone before the body is done."""
        token = secrets.token_hex(8)
        names = sorted(f"{self.plan.id}/{lock_name(account)}" for account in accounts)
        for name in names:
            self._locks.acquire(name, token)
        try:
            yield {}
        finally:
            for name in names:
                self._locks.release(name, token)

    def guard(self, books: Books, account: str, leases: Leases) -> None:
        """Keep nobody out: there is no fence."""

    def post(self, transfer: Transfer, leases: Leases, source: str, target: str) -> Result | None:
        """Read, perhaps be paused, then write what was computed from what was read."""
        debit, credit = self.reader(source), self.reader(target)
        have = debit.read(transfer.id, transfer.source)
        other = credit.read(transfer.id, transfer.target)
        if self._random.randrange(_PAUSED_ONE_IN) == 0:
            time.sleep(_PAUSE_S)
        if have is None or other is None:
            raise LockTimeout(f"an account of {transfer.id} has moved; try again")
        if have.entered or have.declined:
            return "known" if have.entered else "refused"
        if have.balance < transfer.amount:
            return None
        shards = list(dict.fromkeys((source, target)))
        amount = transfer.amount
        with self.transaction(*shards) as connections:
            by_name = dict(zip(shards, map(Books, connections), strict=True))
            by_name[source].post(transfer.id, transfer.source, -amount, have.balance - amount)
            by_name[target].post(transfer.id, transfer.target, amount, other.balance + amount)
        return "applied"

    @contextmanager
    def transaction(self, *shards: str) -> Iterator[tuple[Any, ...]]:
        """Return a transaction whose collisions are tried again, as such code does."""
        try:
            with super().transaction(*shards) as connections:
                yield connections
        except Exception as error:
            if not is_collision(error):
                raise
            raise BackendUnavailable(f"a row is taken by an unfinished branch: {error}") from error


class WithoutTransactions(Teller):
    """Everything else as it should be, but each shard commits by itself."""

    def __init__(self, plan: BankPlan, client: Client, coordinator: Coordinator) -> None:
        super().__init__(plan, client, coordinator)
        self._writers: dict[str, Shard] = {}

    def transaction(self, *shards: str) -> AbstractContextManager[tuple[Any, ...]]:
        """Return plain transactions, committed one after the other."""
        return self._plain(sorted(shards), shards)

    @contextmanager
    def _plain(self, order: list[str], asked: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        for name in order:
            if name not in self._writers:
                self._writers[name] = Shard(self.plan.urls()[name])
        writers = [self._writers[name] for name in order]
        begun: list[Shard] = []
        try:
            for writer in writers:
                writer.begin()
                begun.append(writer)
            yield tuple(self._writers[name].connection for name in asked)
        except BaseException:
            for writer in begun:
                writer.execute("ROLLBACK")
            raise
        for writer in writers:
            writer.execute("COMMIT")


def make_teller(plan: BankPlan, client: Client, coordinator: Coordinator) -> Teller:
    """Return the teller that the plan asks for."""
    if plan.pattern == "saga":
        return SagaTeller(plan, client, coordinator)
    kinds = {"locks": WithoutLocks, "transactions": WithoutTransactions}
    return kinds.get(plan.without, Teller)(plan, client, coordinator)
