"""What the killed processes of test_sqlite_participant_kills.py do, forked from a nursery.

The nursery reads lines `ROLE SEED` and answers each with the pid of a new process in that
role. It has no threads and opens no database, so forking it is sound, and quick.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path

from concordant.drivers.sqlite.manager import SqliteParticipant
from concordant.transactions.names import BranchId, new_gid, new_owner

FILES = ("left.db", "right.db")
ACCOUNTS = 8
OPENING = 1000
SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE ledger(gid TEXT, account INTEGER, amount INTEGER, PRIMARY KEY (gid, account))
    WITHOUT ROWID;
"""


def build(folder: Path) -> None:
    """Make two files of accounts, and the file of decisions."""
    for name in FILES:
        with closing(sqlite3.connect(folder / name)) as connection:
            connection.executescript(SCHEMA)
            rows = [(account, OPENING) for account in range(ACCOUNTS)]
            connection.executemany("INSERT INTO accounts VALUES (?, ?)", rows)
            connection.commit()
    (folder / "decisions").touch()


def participants(folder: Path) -> list[SqliteParticipant]:
    """Open both files."""
    return [SqliteParticipant(f"sqlite://{folder / name}") for name in FILES]


def decided(folder: Path) -> set[str]:
    """Return the gids with a decision to commit; a line that was cut off is none."""
    lines = (folder / "decisions").read_text().split("\n")[:-1]
    return {line for line in lines if len(line) == 36}


def decide(folder: Path, gid: str) -> None:
    """Write the decision to commit durably; a cut-off line before it is closed by ours."""
    fd = os.open(folder / "decisions", os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, f"\n{gid}\n".encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def transfer(folder: Path, places: list[SqliteParticipant], owner: str, rng: random.Random) -> None:
    """Move money from one file to the other, by absolute balances, in two phases."""
    gid, amount = new_gid(), rng.randint(-50, 50)
    names = [BranchId("ctransfer", owner, 1, index, gid) for index in range(len(places))]
    begun = [place.begin(name) for place, name in zip(places, names, strict=True)]
    try:
        for branch, change in zip(begun, (-amount, amount), strict=True):
            account, connection = rng.randrange(ACCOUNTS), branch.connection
            query = "SELECT balance FROM accounts WHERE id = ?"
            (balance,) = connection.execute(query, (account,)).fetchone()
            update = "UPDATE accounts SET balance = ? WHERE id = ?"
            connection.execute(update, (balance + change, account))
            connection.execute("INSERT INTO ledger VALUES (?, ?, ?)", (gid, account, change))
    except sqlite3.IntegrityError as error:
        if not str(error).startswith("concordant: reserved by"):
            raise
        for branch in begun:
            branch.abandon()
        return
    votes = [branch.prepare() for branch in begun]
    commit = all(vote.kind == "prepared" for vote in votes) and rng.random() > 0.1
    if commit:
        decide(folder, gid)
    for place, name, vote in zip(places, names, votes, strict=True):
        if vote.kind == "prepared" and place.resolve(str(name), commit) != "done":
            raise AssertionError(f"{name} did not obey its own coordinator")


def work(folder: Path, rng: random.Random) -> None:
    """Transfer until killed."""
    places, owner = participants(folder), new_owner()
    while True:
        transfer(folder, places, owner, rng)


def disturb(folder: Path, rng: random.Random) -> None:
    """Write one file as a program that knows of no branches, moving money within it."""
    path = folder / rng.choice(FILES)
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    while True:
        amount, (one, two) = rng.randint(0, 9), rng.sample(range(ACCOUNTS), 2)
        connection.execute("BEGIN IMMEDIATE")
        try:
            for account, change in ((one, amount), (two, -amount)):
                update = "UPDATE accounts SET balance = balance + ? WHERE id = ?"
                connection.execute(update, (change, account))
            connection.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            connection.execute("ROLLBACK")
            if not str(error).startswith("concordant: reserved by"):
                raise


def recover(folder: Path) -> list[bool]:
    """Bring every branch in doubt to its decision; return those decisions."""
    outcomes = []
    for place in participants(folder):
        with closing(place):
            for found in place.in_doubt():
                parsed = BranchId.parse(found.branch)
                assert parsed is not None
                commit = parsed.gid in decided(folder)
                if place.resolve(found.branch, commit) == "done":
                    outcomes.append(commit)
    return outcomes


def run(role: str, folder: Path, seed: int) -> None:
    """Be one process; the roles end only by being killed, but for `recover`."""
    rng = random.Random(seed)
    if role == "work":
        work(folder, rng)
    elif role == "disturb":
        disturb(folder, rng)
    else:
        threads = [threading.Thread(target=recover, args=(folder,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def nursery(folder: Path) -> None:
    """Fork what is asked for; the children of a nursery that ends are the test's to kill."""
    for line in sys.stdin:
        role, seed = line.split()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                run(role, folder, int(seed))
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)
        # The test kills by pid, so it must not be free for others before it was told.
        sys.stdin.readline()
        _, status = os.waitpid(pid, 0)
        print(status, flush=True)


if __name__ == "__main__":
    nursery(Path(sys.argv[1]))
