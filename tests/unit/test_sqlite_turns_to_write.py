"""Writers of one file take turns, whatever becomes of the one whose turn it is."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from concordant.drivers.sqlite.database import Database, Schema
from concordant.drivers.sqlite.writers import WriterQueue
from concordant.errors import BackendUnavailable, UsageError

# Seconds of processes, waits or examples: more than daily use waits for.
pytestmark = pytest.mark.slow

SCHEMA = Schema(
    "test", 1, ("CREATE TABLE turn(id INTEGER PRIMARY KEY AUTOINCREMENT, who TEXT NOT NULL)",)
)

WHEN = ("before", "during", "after")

_PRELUDE = """
import os, signal, subprocess, sys, time
from concordant.drivers.sqlite.database import Database, Schema
from concordant.errors import UsageError
SCHEMA = Schema("test", 1, ("CREATE TABLE turn(id INTEGER PRIMARY KEY AUTOINCREMENT, who TEXT)",))
path, who = sys.argv[1:]
database = Database(path, SCHEMA, "NORMAL")
def write(who):
    database.write(lambda c: c.execute("INSERT INTO turn(who) VALUES (?)", (who,)))
"""

# Takes its turn, says so, and keeps it.
_HOLD = """
def hold(connection):
    connection.execute("INSERT INTO turn(who) VALUES (?)", (who,))
    print("mine", flush=True)
    time.sleep(60)
database.write(hold)
"""

# Takes its turn while another process holds a copy of all that it has open.
_HOLD_WITH_CHILD = """
def hold(connection):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    time.sleep(60)
database.write(hold)
"""

_MANY = """
write(who)
print("ready", flush=True)
sys.stdin.readline()
end = time.monotonic() + 1.0
while time.monotonic() < end:
    write(who)
"""

_FORK = """
import threading
write("parent before")
inside, go_on = threading.Event(), threading.Event()
def during(connection):
    connection.execute("INSERT INTO turn(who) VALUES ('parent during')")
    # So much that a part of it stands in the shared files already.
    connection.execute("PRAGMA cache_size = 10")
    connection.executemany("INSERT INTO turn(who) VALUES (?)", [("x" * 3000,)] * 1000)
    inside.set()
    go_on.wait(30)
writer = threading.Thread(target=database.write, args=(during,))
writer.start()
inside.wait(30)
child = os.fork()
if child == 0:
    told = 0
    for use in (database.write, database.read):
        try:
            use(lambda connection: None)
        except UsageError as error:
            told += "before fork" in str(error)
    database.close()
    # An ordinary end, which destroys whatever the child has inherited.
    sys.exit(0 if told == 2 else 1)
_, status = os.waitpid(child, 0)
go_on.set()
writer.join()
write("parent after")
sys.exit(os.waitstatus_to_exitcode(status))
"""

# Is interrupted at any moment of its writes, and only there.
_INTERRUPTED = """
armed = False
def interrupt(*_):
    global armed
    if armed:
        armed = False
        raise KeyboardInterrupt
signal.signal(signal.SIGINT, interrupt)
write(who)
print("ready", flush=True)
hits, number, end = 0, 0, time.monotonic() + 1.0
while time.monotonic() < end or (hits <= 20 and time.monotonic() < end + 20):
    number += 1
    try:
        armed = True
        write(f"{who} {number}")
        armed = False
    except KeyboardInterrupt:
        hits += 1
        # Inside the handler, as whoever settles what is unknown does it.
        if not database.read(
            lambda c: c.execute("SELECT 1 FROM turn WHERE who = ?", (f"{who} {number}",)).fetchone()
        ):
            write(f"{who} {number}")
print(hits, number, flush=True)
"""


@contextmanager
def process(body: str, path: str, who: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _PRELUDE + body, path, who]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def line(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    return started.stdout.readline().strip()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "file.db")


@pytest.fixture
def database(path: str) -> Iterator[Database]:
    with closing(Database(path, SCHEMA, "NORMAL")) as opened:
        yield opened


@pytest.fixture
def hasty(path: str) -> Iterator[Database]:
    with closing(Database(path, SCHEMA, "NORMAL", wait_s=0.2)) as opened:
        yield opened


def write(database: Database, who: str) -> None:
    database.write(lambda c: c.execute("INSERT INTO turn(who) VALUES (?)", (who,)))


def turns(path: str) -> list[str]:
    with closing(sqlite3.connect(path)) as plain:
        return [who for (who,) in plain.execute("SELECT who FROM turn ORDER BY id")]


def test_one_that_is_stopped_in_its_turn_holds_others_up_for_a_bounded_time(
    path: str, hasty: Database
) -> None:
    write(hasty, "before")
    with process(_HOLD, path, "stopped") as holder:
        assert line(holder) == "mine"
        holder.send_signal(signal.SIGSTOP)
        for _ in range(2):
            with pytest.raises(BackendUnavailable, match=rf"0\.2 s.*process {holder.pid} has it"):
                write(hasty, "during")
        # Whoever only reads waits for nobody.
        seen = hasty.read(lambda c: c.execute("SELECT who FROM turn").fetchall())
        assert seen == [("before",)]
        holder.kill()
        holder.wait()
        # Nothing of what was killed remains, and its turn is over with it.
        write(hasty, "after")
    assert turns(path) == ["before", "after"]


def test_a_turn_that_comes_too_late_is_given_back(
    path: str, database: Database, hasty: Database
) -> None:
    def during(_: sqlite3.Connection) -> None:
        with pytest.raises(BackendUnavailable, match=f"process {os.getpid()} has it"):
            write(hasty, "too late")

    database.write(during)
    # The helper thread of the hasty one was still waiting, and got the turn just now.
    with process(_MANY, path, "other") as other:
        assert line(other) == "ready"
    write(hasty, "in time")
    assert turns(path) == ["other", "in time"]


def test_threads_wait_for_each_other_and_for_other_handles(path: str, database: Database) -> None:
    def many(of: Database, who: str) -> None:
        for _ in range(50):
            write(of, who)

    with closing(Database(path, SCHEMA, "NORMAL")) as other:
        handles = [database, database, other, other]
        threads = [
            threading.Thread(target=many, args=(one, str(n))) for n, one in enumerate(handles)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert Counter(turns(path)) == {str(number): 50 for number in range(4)}


def test_two_names_of_a_file_lead_to_one_queue(path: str, tmp_path: Path, hasty: Database) -> None:
    def during(_: sqlite3.Connection) -> None:
        with pytest.raises(BackendUnavailable, match="for the turn to write"):
            write(hasty, "second")

    write(hasty, "first")
    os.symlink(path, tmp_path / "alias.db")
    with closing(Database(str(tmp_path / "alias.db"), SCHEMA, "NORMAL")) as alias:
        alias.write(during)


def test_no_process_starves_while_others_write_all_the_time(path: str, database: Database) -> None:
    write(database, "before")
    people = ["a", "b", "c", "d"]
    with ExitStack() as stack:
        started = [stack.enter_context(process(_MANY, path, who)) for who in people]
        assert [line(one) for one in started] == ["ready"] * len(people)
        for one in started:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        assert [one.wait(timeout=50) for one in started] == [0] * len(people)
    # All write for the same time, so their shares tell how the turns were given.
    shares = Counter(turns(path)[1 + len(people) :])
    assert set(shares) == set(people)
    jain = sum(shares.values()) ** 2 / (len(people) * sum(n**2 for n in shares.values()))
    assert jain > 0.6, shares


def test_a_child_of_the_writer_does_not_inherit_its_turn(path: str, database: Database) -> None:
    write(database, "before")
    with process(_HOLD_WITH_CHILD, path, "parent") as parent:
        child = int(line(parent))
        try:
            parent.kill()
            parent.wait()
            write(database, "after")
        finally:
            os.kill(child, signal.SIGKILL)
    assert turns(path) == ["before", "after"]


def test_a_forked_child_can_neither_use_nor_harm_the_parents_file(path: str) -> None:
    with process(_FORK, path, "") as parent:
        assert parent.wait(timeout=30) == 0
    order = turns(path)
    assert [who for who in order if who[0] == "p"] == [f"parent {w}" for w in WHEN]
    assert order.count("x" * 3000) == 1000
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_closed_queue_ends_its_helper(hasty: Database, database: Database) -> None:
    before = set(threading.enumerate())
    helpers: set[threading.Thread] = set()

    def during(_: sqlite3.Connection) -> None:
        with pytest.raises(BackendUnavailable):
            write(hasty, "x")
        helpers.update(set(threading.enumerate()) - before)
        hasty.close()
        with pytest.raises(UsageError, match="closed"):
            write(hasty, "y")

    database.write(during)
    assert [helper.name for helper in helpers] == ["concordant-writer-queue"]
    for helper in helpers:
        helper.join(10)
        assert not helper.is_alive()
    # The turn that it got at last was given back.
    write(database, "after")


@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_a_queue_that_is_over_ends_its_helper(path: str, database: Database, how: str) -> None:
    queues = [WriterQueue(path + ".lock")]
    database.write(lambda _: queues[0].acquire(0.01))
    helper = queues[0]._helper
    assert helper is not None
    if how == "closed":
        queues[0].close()
    else:
        queues.clear()
    helper.join(10)
    assert not helper.is_alive()
    write(database, "after")


def test_wishes_that_were_given_up_neither_end_nor_fake_a_later_turn(
    path: str, database: Database, hasty: Database
) -> None:
    def refuse_hasty(_: sqlite3.Connection) -> None:
        for _ in range(3):
            with pytest.raises(BackendUnavailable):
                write(hasty, "x")

    def wait_and_see(_: sqlite3.Connection) -> None:
        # Time for the helper to come upon the old wishes.
        time.sleep(0.1)
        with closing(Database(path, SCHEMA, "NORMAL", wait_s=0.1)) as other:
            with pytest.raises(BackendUnavailable):
                write(other, "x")

    database.write(refuse_hasty)
    hasty.write(wait_and_see)
    database.write(refuse_hasty)
    assert turns(path) == []


def test_an_interrupt_at_any_moment_leaves_nothing_taken(path: str, database: Database) -> None:
    people = ["a", "b", "c"]
    with ExitStack() as stack:
        started = [stack.enter_context(process(_INTERRUPTED, path, who)) for who in people]
        assert [line(one) for one in started] == ["ready"] * len(people)
        pause = 0
        while any(one.poll() is None for one in started):
            for one in started:
                one.send_signal(signal.SIGINT)
                pause = (pause + 37) % 100
                time.sleep(pause * 2e-5)
        ends = [line(one).split() for one in started]
    order = Counter(turns(path))
    for who, (hits, number) in zip(people, ends, strict=True):
        assert int(hits) > 20
        # Each was written once, whenever the interrupt came.
        assert {order[f"{who} {n}"] for n in range(1, int(number) + 1)} == {1}
    write(database, "after")
