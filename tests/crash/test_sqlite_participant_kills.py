"""Transfers between two SQLite files, killed at random, torn nowhere.

Workers move money between two files with prepared branches and a file of decisions, a
stranger writes one of the files, and all are killed (SIGKILL) at random moments; so is the
recovery, at times. Then every branch in doubt is brought to its decision by two recoverers
at once, and the books are checked.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.crash.sqlite_transfers import ACCOUNTS, FILES, OPENING, build, decided, recover

ROOT = Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("CONCORDANT_SEED", "1"))
SECONDS = 12


class Nursery:
    """Processes to be killed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._alive: list[int] = []

    def start(self, role: str, seed: int) -> int:
        pid = self._ask(f"{role} {seed}")
        self._alive.append(pid)
        return pid

    def kill(self, pid: int) -> int:
        """Kill the process, and return its status: it may have ended by itself before."""
        os.kill(pid, signal.SIGKILL)
        self._alive.remove(pid)
        return self._ask(f"reap {pid}")

    def end(self) -> None:
        for pid in list(self._alive):
            self.kill(pid)

    def _ask(self, line: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def nursery(folder: Path) -> Iterator[Nursery]:
    command = [sys.executable, "-m", "tests.crash.sqlite_transfers", str(folder)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        made = Nursery(process)
        try:
            yield made
        finally:
            made.end()
            process.stdin.close()  # type: ignore[union-attr]


def in_doubt(folder: Path) -> Counter[str]:
    """Count the prepared branches, as anybody can, by what their decision is."""
    found: Counter[str] = Counter()
    commits = decided(folder)
    for name in FILES:
        with closing(sqlite3.connect(folder / name)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if ("concordant_branch",) not in tables.fetchall():
                continue
            query = "SELECT branch FROM concordant_branch WHERE state = 'prepared'"
            for (branch,) in connection.execute(query):
                found["commit" if branch[-36:] in commits else "abort"] += 1
    return found


def check(folder: Path) -> int:
    """Check both books against the decisions, and return how many transfers there were."""
    total, moved = 0, Counter[str]()
    for name in FILES:
        with closing(sqlite3.connect(folder / name)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            total += connection.execute("SELECT sum(balance) FROM accounts").fetchone()[0]
            ledger = connection.execute("SELECT gid, amount FROM ledger").fetchall()
            balance, changed = connection.execute(
                "SELECT (SELECT sum(balance) FROM accounts),"
                " (SELECT coalesce(sum(amount), 0) FROM ledger)"
            ).fetchone()
            assert balance == ACCOUNTS * OPENING + changed
            left = "SELECT (SELECT count(*) FROM concordant_reservation), state, redo"
            states = connection.execute(f"{left} FROM concordant_branch").fetchall()
            assert set(states) <= {(0, "committed", None)}
        gids = {gid for gid, _ in ledger}
        assert len(gids) == len(ledger)
        assert gids == decided(folder)
        for gid, amount in ledger:
            moved[gid] += amount
    assert set(moved.values()) <= {0}
    assert total == len(FILES) * ACCOUNTS * OPENING
    return len(moved)


@pytest.mark.slow
def test_kills_tear_nothing(tmp_path: Path) -> None:
    build(tmp_path)
    rng = random.Random(SEED)
    print(f"seed {SEED}")
    seen: Counter[str] = Counter()
    end = time.monotonic() + SECONDS
    with nursery(tmp_path) as processes:
        while time.monotonic() < end:
            seen["rounds"] += 1
            crew = [processes.start("work", rng.getrandbits(32)) for _ in range(2)]
            if rng.random() < 0.5:
                crew.append(processes.start("disturb", rng.getrandbits(32)))
            time.sleep(rng.uniform(0.01, 0.15))
            for pid in rng.sample(crew, len(crew)):
                # Killed; anything else is an error of the worker's own.
                assert processes.kill(pid) == signal.SIGKILL
                time.sleep(rng.choice([0, rng.uniform(0, 0.02)]))
            seen += in_doubt(tmp_path)
            if rng.random() < 0.5:
                half = processes.start("recover", 0)
                time.sleep(rng.uniform(0, 0.03))
                seen["recoveries killed"] += processes.kill(half) == signal.SIGKILL
            last = processes.start("recover", 0)
            assert processes._ask(f"reap {last}") == 0
            processes._alive.remove(last)
            assert recover(tmp_path) == []
            seen["transfers"] = check(tmp_path)
    print(dict(seen))
    # The moments that matter must have been met, or this has shown nothing.
    for moment in ("commit", "abort", "recoveries killed"):
        assert seen[moment] > 0, f"no {moment} was met: {dict(seen)}"
    assert seen["transfers"] > 10
