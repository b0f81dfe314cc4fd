"""An interrupt at any moment leaves nothing taken in the embedded drivers.

Python raises what a signal handler raises at the entry of a Python function or after a call
of a C function. A profile function that raises at each of these in turn tries them all.
"""

from __future__ import annotations

import gc
import inspect
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

from concordant.drivers import registry
from concordant.drivers.base import LockStore
from concordant.drivers.sqlite.database import Database, Schema
from concordant.locking.names import new_client, owner_id
from concordant.locking.operations import Acquire, Cancel, Granted, Inspect, Queued, Release
from concordant.transactions.operations import Decide, Decision, OpenOwner, OwnerOpened
from tests.provision.collector import collector_at_rest

SCHEMA = Schema("test", 1, ("CREATE TABLE note(text TEXT)",))


class Interrupt(BaseException):
    """What the signal handler raises."""


def interrupted(call: Callable[[], object], at: int) -> bool:
    """Make the call, interrupted at a moment given by number; False if it has ended before."""
    left = at

    def strike(frame: FrameType, event: str, _arg: object) -> None:
        nonlocal left
        # What is raised in a generator that is being thrown away goes nowhere.
        if event in ("call", "c_return") and not frame.f_code.co_flags & inspect.CO_GENERATOR:
            left -= 1
            if left < 0:
                sys.setprofile(None)
                raise Interrupt

    with collector_at_rest():
        sys.setprofile(strike)
        try:
            call()
        except Interrupt:
            return True
        finally:
            sys.setprofile(None)
    return False


def moments(call: Callable[[int], object]) -> Iterator[int]:
    """Interrupt the call at one moment after another, until it comes to its end.

    It is called with the number of the moment, which is yielded after.
    """
    at = 0
    while interrupted(partial(call, at), at):
        yield at
        at += 1
    assert at > 10, "too few moments to have seen anything"


def test_what_is_thrown_away_meanwhile_is_not_struck() -> None:
    thrown_away: list[bool] = []

    class Garbage:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            thrown_away.append(sys.getprofile() is not None)

    def collected(_at: int) -> None:
        Garbage()
        for size in range(20):
            [[] for _ in range(size)]

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in moments(collected):
            pass
    finally:
        gc.set_threshold(*before)
        gc.collect()
    assert thrown_away
    assert not any(thrown_away)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "file.db")


@pytest.fixture
def other(path: str) -> Iterator[Database]:
    """Another handle, as of another process, that waits for nobody."""
    with closing(Database(path, SCHEMA, "NORMAL", wait_s=0.1)) as opened:
        yield opened


def write(database: Database, text: str) -> None:
    database.write(lambda c: c.execute("INSERT INTO note VALUES (?)", (text,)))


@pytest.mark.parametrize("fails", [False, True])
def test_the_turn_to_write_is_given_back(path: str, other: Database, fails: bool) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO note VALUES ('interrupted')")
        if fails:
            raise ValueError

    def change(_at: int) -> None:
        with suppress(ValueError):
            database.write(work)

    write(other, "before")
    with closing(Database(path, SCHEMA, "NORMAL", wait_s=0.1)) as database:
        for at in moments(change):
            write(other, f"other {at}")
            write(database, f"same {at}")
            assert database._connection is not None
            assert not database._connection.in_transaction


def test_the_first_use_of_a_file_can_be_repeated(tmp_path: Path) -> None:
    for at in range(10_000):
        path = str(tmp_path / f"{at}.db")
        with closing(Database(path, SCHEMA, "NORMAL", wait_s=0.1)) as database:
            done = not interrupted(partial(write, database, "interrupted"), at)
            with closing(Database(path, SCHEMA, "NORMAL", wait_s=0.1)) as other:
                write(other, "other")
            write(database, "same")
        if done:
            break
    assert 100 < at < 9999


def test_a_read_ends(path: str, other: Database) -> None:
    write(other, "before")

    def read(database: Database) -> None:
        database.read(lambda c: c.execute("SELECT count(*) FROM note").fetchone())

    with closing(Database(path, SCHEMA, "NORMAL", wait_s=0.1)) as database:
        for at in moments(lambda _: read(database)):
            write(other, f"other {at}")
            write(database, f"same {at}")
            read(database)


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
def test_a_lock_store_settles_by_asking_again(scheme: str, path: str) -> None:
    url = {"memory": "memory://interrupts", "sqlite": f"sqlite://{path}?wait_s=0.2"}[scheme]
    clients = [new_client(), new_client()]
    with (
        closing(registry.lock_store(url)) as store,
        closing(registry.lock_store(url)) as other,
        closing(other.hints(clients[1])) as stream,
    ):

        def hand_over(number: int) -> None:
            # With a hint to send, so that sending is interrupted too.
            holder, waiter = owner_id(clients[0], number), owner_id(clients[1], number)
            [granted] = store.apply([Acquire("a", holder, 1000)])
            assert isinstance(granted, Granted)
            [queued] = store.apply([Acquire("a", waiter, 1000, wait=True)])
            assert isinstance(queued, Queued)
            store.apply([Inspect("a"), Release("a", holder, granted.fence)])
            store.names()

        for number in moments(hand_over):
            clear(other, clients, number)
            clear(store, clients, number)
            stream.get(0.0)
        clear(store, clients, number + 1)  # the one that came to its end
        assert store.names() == other.names() == []


def clear(store: LockStore, clients: list[str], number: int) -> None:
    store.apply([Cancel("a", owner_id(client, number)) for client in clients])


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
def test_a_log_settles_by_asking_again(scheme: str, path: str) -> None:
    url = {"memory": "memory://interrupts", "sqlite": f"sqlite://{path}?wait_s=0.2"}[scheme]
    with closing(registry.transaction_log(url)) as log:
        with closing(registry.transaction_log(url)) as other:
            [opened] = other.apply([OpenOwner("owner001", 600_000)])
            assert isinstance(opened, OwnerOpened)
            epoch = opened.epoch

            def decide(number: int) -> None:
                log.apply([Decide(f"g{number}", "commit", "owner001", epoch)])

            for number in moments(decide):
                [seen] = other.apply([Decide(f"g{number}", "abort", "owner002", 1)])
                [again] = log.apply([Decide(f"g{number}", "commit", "owner001", epoch)])
                assert isinstance(seen, Decision)
                assert isinstance(again, Decision)
                assert seen.outcome == again.outcome
