"""What the killed processes of test_sqlite_participant_kills.py do, forked from a nursery.

The nursery reads lines: `ROLE SEED` is answered with the pid of a new process in that role,
`reap PID` with its status. It has no threads and opens no database, so that forking it is
sound, and quick.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
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
    names = [BranchId("cmoneyy1", owner, 1, index, gid) for index in range(len(places))]
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
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(recover, [folder, folder]))


def nursery(folder: Path) -> None:
    """Fork and reap as asked; until it is reaped, a pid belongs to nobody else."""
    for line in sys.stdin:
        command, *words = line.split()
        if command == "reap":
            print(os.waitpid(int(words[0]), 0)[1], flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                run(command, folder, int(words[0]))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)


if __name__ == "__main__":
    nursery(Path(sys.argv[1]))
