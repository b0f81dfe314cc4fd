"""Users and databases whose transactions are stricter by default than READ COMMITTED."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from concordant import Client, Coordinator
from concordant.drivers import registry
from concordant.drivers.postgres.guard import guard
from concordant.errors import BackendUnavailable, StaleFence, TransactionAborted
from concordant.locking.operations import Acquire, Busy, Granted, Release, Released
from concordant.transactions.names import BranchId
from concordant.transactions.operations import (
    Advance,
    Claim,
    CloseOwner,
    Conflict,
    Create,
    Decide,
    Decision,
    Finish,
    Finished,
    Listing,
    LogOperation,
    OpenOwner,
    Purge,
    Purged,
    Record,
)
from tests.contract.parties import new_branch, strangers
from tests.fault.postgres_trouble import Meanwhile, TroubledServer, troubled

pytestmark = pytest.mark.server

LEVELS = ("repeatable read", "serializable")
PORTS = ("lock_store", "transaction_log", "participant", "barrier")
TTL_MS = 60_000
MANY = 6


@dataclass(frozen=True)
class Fence:
    """What a guard has to know of a lease."""

    fence: int
    owner: str


@pytest.fixture
def server() -> TroubledServer:
    return troubled()


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    """What transactions are by default."""
    level: str = request.param
    return level


@pytest.fixture(params=["the database's", "the user's"])
def strict(request: pytest.FixtureRequest, server: TroubledServer, level: str) -> Callable[[], str]:
    """What makes a new database where they are."""

    def make() -> str:
        url = server.fresh()
        if request.param == "the user's":
            user = level.replace(" ", "_")
            if not server.ask(url, "SELECT 1 FROM pg_roles WHERE rolname = %s", user):
                server.ask(url, f"CREATE ROLE {user} SUPERUSER LOGIN")
                server.ask(url, f"ALTER ROLE {user} SET default_transaction_isolation = '{level}'")
            url = url.replace("//postgres@", f"//{user}@")
        else:
            database = url.rpartition("/")[2]
            server.ask(
                url, f"ALTER DATABASE {database} SET default_transaction_isolation = '{level}'"
            )
        with closing(psycopg.connect(url)) as plain:
            [found] = plain.execute("SHOW transaction_isolation").fetchall()
            assert found == (level,)
        return url

    return make


@pytest.fixture
def url(strict: Callable[[], str]) -> str:
    """A new database where they are."""
    return strict()


def at_once(action: Callable[[int], Any]) -> list[Any]:
    """Run it with many numbers side by side, and return the results in order."""
    running = [Meanwhile(lambda n=n: action(n)) for n in range(MANY)]
    return [each.result() for each in running]


@pytest.mark.parametrize("port", PORTS)
def test_many_that_come_first_at_once_agree(url: str, port: str) -> None:
    def come(number: int) -> None:
        with closing(getattr(registry, port)(url)) as driver:
            if port == "participant":
                driver.begin(new_branch()).abandon()
            elif port == "barrier":
                driver.enter("g", str(number), "action").abandon()
            else:
                driver.apply([])

    at_once(come)


def test_a_lock_that_many_ask_for_refuses_nobody_else(url: str) -> None:
    """Whoever waits for a row that another has changed goes on with what that has left."""

    def ask(number: int) -> list[int]:
        fences: list[int] = []
        with closing(registry.lock_store(url)) as store:
            for owner in strangers(25):
                [asked] = store.apply([Acquire("a", owner, TTL_MS)])
                assert isinstance(asked, Granted | Busy)
                if isinstance(asked, Granted):
                    fences.append(asked.fence)
                    assert isinstance(store.apply([Release("a", owner, asked.fence)])[0], Released)
        return fences

    fences = [fence for each in at_once(ask) for fence in each]
    assert fences
    assert len(fences) == len(set(fences))


def test_a_lock_excludes_and_is_handed_over(url: str) -> None:
    held: list[int] = []

    def use(number: int) -> None:
        with Client(url) as client:
            for _ in range(4):
                with client.lock("a", ttl_s=30, timeout_s=60):
                    held.append(number)
                    assert held == [number]
                    held.clear()

    at_once(use)


def test_many_that_decide_agree(url: str) -> None:
    gids = [f"g{number:02}" for number in range(24)]
    with closing(registry.transaction_log(url)) as log:
        log.apply([OpenOwner("owner001", TTL_MS)])

    def decide(number: int) -> dict[str, str]:
        told: dict[str, str] = {}
        with closing(registry.transaction_log(url)) as log:
            for gid in gids:
                outcome: Any = "commit" if number % 2 else "abort"
                batch: list[LogOperation] = [Decide(gid, outcome, "owner001", 1)]
                if number % 3 == 0:
                    batch.append(OpenOwner(f"other{number:03}", TTL_MS))
                decision = log.apply(batch)[0]
                assert isinstance(decision, Decision)
                told[gid] = decision.outcome
                assert log.apply([Finish(gid)]) == [Finished()]
        return told

    first, *others = at_once(decide)
    assert sorted(first) == gids
    assert all(other == first for other in others)
    with closing(registry.transaction_log(url)) as log:
        assert log.apply([Purge(0)]) == [Purged(len(gids))]


def test_many_that_claim_and_advance_sagas_share_them(url: str) -> None:
    gids = [f"g{number:02}" for number in range(20)]
    made = [Create(gid, "saga", "d/1", "", "dead0000", 1) for gid in gids]
    with closing(registry.transaction_log(url)) as log:
        log.apply([OpenOwner("dead0000", TTL_MS), *made, CloseOwner("dead0000", 1)])
        log.apply([OpenOwner("owner001", TTL_MS)])
        log.apply([Create("shared", "saga", "e/1", "", "owner001", 1)])

    def work(number: int) -> tuple[list[str], int]:
        owner, won = f"heir{number:04}", 0
        found: list[str] = []
        with closing(registry.transaction_log(url)) as log:
            log.apply([OpenOwner(owner, TTL_MS)])
            for version in range(1, 11):
                [listing] = log.apply([Claim(owner, 1, 3, ("d/1",), own=False)])
                assert isinstance(listing, Listing)
                found += [record.gid for record in listing.records]
                step = Advance("shared", version, "owner001", 1, "running", str(number))
                [answer] = log.apply([step])
                assert isinstance(answer, Record | Conflict)
                won += isinstance(answer, Record)
        return found, won

    worked = at_once(work)
    assert sorted(gid for found, _ in worked for gid in found) == gids
    # Each version was written by one of them at most.
    assert 1 <= sum(won for _, won in worked) <= 10


def test_a_step_is_done_by_one_of_many(url: str) -> None:
    """Those that met it in the middle are told to come again, and find it done."""

    def enter(number: int) -> str:
        with closing(registry.barrier(url)) as barrier:
            while True:
                try:
                    work = barrier.enter("g", "step", "action")
                    if work.ruling == "run":
                        work.commit(str(number))
                except BackendUnavailable:
                    continue
                return str(work.ruling)

    assert sorted(at_once(enter)) == ["run", *["skip"] * (MANY - 1)]


def test_money_that_many_move_stays_the_same(strict: Callable[[], str], level: str) -> None:
    """The work is done as strictly as the user wants it; what collides is tried again."""
    urls = [strict(), strict()]
    for url in urls:
        with closing(psycopg.connect(url)) as plain:
            plain.execute("CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL)")
            plain.execute("INSERT INTO account VALUES (1, 100)")
            plain.commit()

    def move_once(coordinator: Coordinator) -> None:
        with coordinator.transaction(*urls) as connections:
            for connection, amount in zip(connections, (-1, 1), strict=True):
                assert connection.execute("SHOW transaction_isolation").fetchall() == [(level,)]
                # As a bank does: read, reckon, write.
                [[balance]] = connection.execute("SELECT balance FROM account").fetchall()
                connection.execute("UPDATE account SET balance = %s", (balance + amount,))

    def move(number: int) -> None:
        with Coordinator(urls[0], participants=urls, recover_every_s=3600) as coordinator:
            left = 3
            while left:
                try:
                    move_once(coordinator)
                except (psycopg.OperationalError, TransactionAborted):
                    continue
                left -= 1

    at_once(move)
    balances = []
    for url in urls:
        with closing(psycopg.connect(url)) as plain:
            [[balance]] = plain.execute("SELECT balance FROM account").fetchall()
            balances.append(balance)
    assert balances == [100 - 3 * MANY, 100 + 3 * MANY]


def test_a_guard_waits_for_a_branch_in_doubt_and_lets_nobody_read_before_it(url: str) -> None:
    with closing(registry.participant(f"{url}?lock_timeout_s=0.5")) as participant:
        first, second = new_branch(), new_branch()
        begun = participant.begin(first)
        guard(begun.connection, "a", Fence(1, "one"))
        begun.connection.execute("CREATE TABLE note AS SELECT 'old' AS text")
        assert begun.prepare().kind == "prepared"
        with pytest.raises(BackendUnavailable, match="open or in doubt"):
            guarded(participant, second)
        assert participant.resolve(str(first), True) == "done"
        assert participant.resolve(str(first), True) == "already"
        assert participant.committed(str(first))
        guarded(participant, second)
        late = participant.begin(new_branch())
        guard(late.connection, "a", Fence(2, "two"))
        late.commit_one_phase()
        with pytest.raises(StaleFence):
            guard(participant.begin(new_branch()).connection, "a", Fence(1, "one"))


def guarded(participant: Any, name: BranchId) -> None:
    """Pass the guard as the second holder, and leave no trace."""
    begun = participant.begin(name)
    try:
        guard(begun.connection, "a", Fence(2, "two"))
        assert begun.connection.execute("SELECT text FROM note").fetchall() == [("old",)]
    finally:
        begun.abandon()
