"""Locks in a SQLite file: reboots, forgotten names, and waiters whose process is gone."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from concordant.clock import ManualClock
from concordant.drivers.sqlite.hints import hints_folder
from concordant.drivers.sqlite.listening import SocketStream
from concordant.drivers.sqlite.locks import SqliteLockStore
from concordant.drivers.sqlite.options import SqliteOptions
from concordant.errors import BackendUnavailable, UsageError
from concordant.locking.limits import CONFIRM_MS
from concordant.locking.names import new_client, owner_id
from concordant.locking.operations import (
    Acquire,
    Busy,
    Cancel,
    Confirm,
    Granted,
    Held,
    Inspect,
    Lost,
    Queued,
    Refused,
    Release,
    Renew,
    Result,
    View,
)

TTL_MS = 30_000
YEAR_S = 365 * 24 * 3600.0

Opener = Callable[..., SqliteLockStore]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "locks.db")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(start_ns=1_000_000_000_000)


@pytest.fixture
def opened(path: str, clock: ManualClock) -> Iterator[Opener]:
    made: list[SqliteLockStore] = []

    def make(boot: str = "first boot", at: ManualClock = clock) -> SqliteLockStore:
        made.append(SqliteLockStore(SqliteOptions(path), at, lambda: boot))
        return made[-1]

    yield make
    for store in made:
        store.close()


def ask(store: SqliteLockStore, operation: object) -> Result:
    [result] = store.apply([operation])  # type: ignore[list-item]
    return result


def grab(store: SqliteLockStore, name: str, owner: str, capacity: int = 1) -> int:
    result = ask(store, Acquire(name, owner, TTL_MS, capacity=capacity))
    assert isinstance(result, Granted), result
    return result.fence


def queue(store: SqliteLockStore, name: str, owner: str, capacity: int = 1) -> None:
    result = ask(store, Acquire(name, owner, TTL_MS, wait=True, capacity=capacity))
    assert isinstance(result, Queued), result


def look(store: SqliteLockStore, name: str) -> View:
    result = ask(store, Inspect(name))
    assert isinstance(result, View)
    return result


def holders(store: SqliteLockStore, name: str) -> list[str]:
    return [holder.owner for holder in look(store, name).holders]


def new_owner() -> str:
    return owner_id(new_client(), 1)


def rows(path: str) -> int:
    with closing(sqlite3.connect(path)) as plain:
        return int(plain.execute("SELECT count(*) FROM locks").fetchone()[0])


# --- reboots ------------------------------------------------------------------------------


def test_a_reboot_ends_every_lease_and_keeps_every_fence(opened: Opener) -> None:
    holder, waiter, cancelled, next_one = (new_owner() for _ in range(4))
    before = opened()
    fence = grab(before, "a", holder)
    queue(before, "a", waiter)
    ask(before, Cancel("a", cancelled, late=True))
    before.close()

    # The clock has started anew, and the wall clock is wrong: only the file knows the fence.
    clock = ManualClock(start_ns=5_000_000_000, wall_us=1)
    after = opened("second boot", clock)
    assert after.names() == []
    view = look(after, "a")
    assert (view.fence, view.holders, view.waiters) == (fence, (), ())
    assert ask(after, Renew("a", holder, fence, TTL_MS)) == Lost()
    assert grab(after, "a", next_one) == fence + 1
    assert ask(after, Release("a", next_one, fence + 1)) is not None
    # The tombstone is void as well: what it was to refuse died with that boot.
    assert grab(after, "a", cancelled) == fence + 2


def test_the_same_boot_keeps_leases_over_reopening(opened: Opener, clock: ManualClock) -> None:
    holder, waiter, other = (new_owner() for _ in range(3))
    store = opened()
    fence = grab(store, "a", holder)
    queue(store, "a", waiter)
    store.close()
    clock.advance_s(10)
    store = opened()
    assert isinstance(ask(store, Acquire("a", other, TTL_MS)), Busy)
    assert ask(store, Renew("a", holder, fence, TTL_MS)) == Held()
    clock.advance_s(TTL_MS / 1000 + 0.001)
    assert ask(store, Renew("a", holder, fence, TTL_MS)) == Lost()


def test_each_boot_of_two_sees_its_own_leases_alone(opened: Opener) -> None:
    # As on a file that two machines share, which is not offered: each refuses the other's.
    here, there = opened("here"), opened("there")
    first, second = new_owner(), new_owner()
    fence = grab(here, "a", first)
    later = grab(there, "a", second)
    assert later > fence
    assert ask(here, Renew("a", first, fence, TTL_MS)) == Lost()


# --- forgetting ---------------------------------------------------------------------------


def use(store: SqliteLockStore, name: str) -> int:
    owner = new_owner()
    fence = grab(store, name, owner)
    ask(store, Release(name, owner, fence))
    return fence


def test_names_no_longer_used_are_forgotten(opened: Opener, path: str, clock: ManualClock) -> None:
    store = opened()
    for number in range(3000):
        use(store, f"job-{number * 7919 % 3000}")
        clock.advance_s(1.000007)
    # A new name a second, each kept for five minutes: 300 are in use, so to say.
    assert rows(path) < 2 * 300


def test_names_no_longer_used_are_forgotten_when_they_come_in_batches(
    opened: Opener, path: str, clock: ManualClock
) -> None:
    store = opened()
    for batch in range(40):
        store.apply([Acquire(f"job-{batch}-{n}", new_owner(), 1000) for n in range(200)])
        clock.advance_s(100.000013)
    assert rows(path) < 2 * 600


def test_fences_rise_over_forgetting_even_if_the_clock_is_set_back(
    opened: Opener, path: str, clock: ManualClock
) -> None:
    store = opened()
    fence = use(store, "a")
    clock.advance_s(3600)
    clock.jump_wall_s(-YEAR_S)
    for number in range(200):
        use(store, f"other-{number}")
        clock.advance_s(0.000001)
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("SELECT 1 FROM locks WHERE name = 'a'").fetchone() is None
    assert use(store, "a") > fence
    assert use(opened(), "new") > fence


def test_what_is_in_use_is_not_forgotten(opened: Opener, path: str, clock: ManualClock) -> None:
    store = opened()
    holder, cancelled = new_owner(), new_owner()
    long_ms = 24 * 3600 * 1000
    [held] = store.apply([Acquire("a-held", holder, long_ms)])
    assert isinstance(held, Granted)
    clock.advance_s(3600)
    ask(store, Cancel("b-cancelled", cancelled, late=True))
    for number in range(200):
        use(store, f"other-{number}")
        clock.advance_s(0.000001)
    assert holders(store, "a-held") == [holder]
    assert ask(store, Acquire("b-cancelled", cancelled, TTL_MS)) == Refused("cancelled")


def test_a_record_of_a_newer_version_is_refused(opened: Opener, path: str) -> None:
    store = opened()
    grab(store, "a", new_owner())
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("UPDATE locks SET record = '[2]'")
        plain.commit()
    with pytest.raises(UsageError, match="upgrade"):
        look(store, "a")
    with pytest.raises(UsageError, match="upgrade"):
        ask(store, Acquire("a", new_owner(), TTL_MS))


# --- waiters whose process is gone --------------------------------------------------------


def die(store: SqliteLockStore, path: str, client: str) -> None:
    """Leave the client's socket as a killed process leaves it."""
    stream = store.hints(client)
    kept = f"{hints_folder(path)}/kept"
    os.link(f"{hints_folder(path)}/{client}", kept)
    stream.close()
    os.rename(kept, f"{hints_folder(path)}/{client}")


def told(stream: SocketStream) -> list[tuple[str, str]]:
    return [(hint.name, hint.owner) for hint in stream.get(10.0)]


def test_all_waiters_of_dead_processes_are_passed_over_at_once(opened: Opener, path: str) -> None:
    store = opened()
    holder, alive = new_owner(), new_client()
    dead = [new_client() for _ in range(3)]
    for client in dead:
        die(store, path, client)
    fence = grab(store, "a", holder)
    # More than are passed over one by one.
    for number in range(15):
        for client in dead:
            queue(store, "a", owner_id(client, number))
    queue(store, "a", owner_id(alive, 1))
    with closing(store.hints(alive)) as stream:
        ask(store, Release("a", holder, fence))
        # The clock stands still: nothing has expired, least of all the confirm bound.
        assert told(stream) == [("a", owner_id(alive, 1))]
    assert holders(store, "a") == [owner_id(alive, 1)]
    assert look(store, "a").waiters == ()


def test_a_grant_that_was_confirmed_is_not_taken_from_a_client_that_seems_dead(
    opened: Opener, path: str
) -> None:
    store = opened()
    other, client = new_owner(), new_client()
    die(store, path, client)
    mine = owner_id(client, 1)
    fence = grab(store, "a", mine, capacity=2)
    other_fence = grab(store, "a", other, capacity=2)
    queue(store, "a", owner_id(client, 2), capacity=2)
    ask(store, Release("a", other, other_fence))
    assert holders(store, "a") == [mine]
    assert ask(store, Renew("a", mine, fence, TTL_MS)) == Held()


def test_one_that_does_not_listen_is_not_taken_for_dead(opened: Opener, clock: ManualClock) -> None:
    store = opened()
    holder, deaf, third = new_owner(), new_owner(), new_owner()
    fence = grab(store, "a", holder)
    queue(store, "a", deaf)
    queue(store, "a", third)
    ask(store, Release("a", holder, fence))
    assert holders(store, "a") == [deaf]
    clock.advance_s(CONFIRM_MS / 1000 + 0.001)
    assert ask(store, Acquire("a", third, TTL_MS, wait=True)) == Granted(look(store, "a").fence)


def test_a_full_queue_of_hints_holds_nobody_up(opened: Opener, clock: ManualClock) -> None:
    store = opened()
    client = new_client()
    names = [f"lock-{number}" for number in range(500)]
    with closing(store.hints(client)) as stream:
        for name in names:
            holder = new_owner()
            fence = grab(store, name, holder)
            queue(store, name, owner_id(client, 1))
            # One datagram each, more than a stopped process's queue holds.
            ask(store, Release(name, holder, fence))
        first = stream.get(10.0)
        assert 0 < len(first) < len(names)
        assert holders(store, names[0]) == holders(store, names[-1]) == [owner_id(client, 1)]
        [hint] = first[:1]
        assert ask(store, Confirm(hint.name, hint.owner, hint.fence, TTL_MS)) == Held()
        # What was lost is learnt by asking again.
        lost = next(name for name in names if name not in {hint.name for hint in first})
        again = ask(store, Acquire(lost, owner_id(client, 1), TTL_MS, wait=True))
        assert isinstance(again, Granted)


def test_closing_the_store_closes_its_streams(opened: Opener, path: str) -> None:
    store = opened()
    client = new_client()
    stream = store.hints(client)
    assert os.listdir(hints_folder(path)) == [client]
    store.close()
    assert os.listdir(hints_folder(path)) == []
    with pytest.raises(BackendUnavailable, match="closed"):
        stream.get(0.0)
    with pytest.raises(UsageError, match="closed"):
        store.apply([])
