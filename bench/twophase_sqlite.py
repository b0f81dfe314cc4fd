"""Two-phase commit over two SQLite files, four processes: against two plain durable commits.

    python bench/twophase_sqlite.py [--rounds 8] [--seconds 3]

The bar: at least 0.2 of the floor's rate. Both sides write with synchronous=FULL.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._processes import in_processes
from bench._rounds import paired
from concordant import Coordinator

SQL = "UPDATE account SET balance = balance + 1 WHERE id = ?"


def prepare(folder: str) -> list[str]:
    paths = [f"{folder}/{name}.db" for name in ("a", "b")]
    for path in paths:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER)")
            connection.executemany("INSERT INTO account VALUES (?, 0)", [(i,) for i in range(4)])
    return paths


def ours(number: int, folder: str, start_s: float, seconds: float) -> int:
    urls = [f"sqlite://{folder}/{name}.db" for name in ("a", "b")]
    count = 0
    with Coordinator(f"sqlite://{folder}/log.db", participants=urls) as coordinator:
        time.sleep(max(0.0, start_s - time.time()))
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            with coordinator.transaction(*urls) as connections:
                for connection in connections:
                    connection.execute(SQL, (number,))
            count += 1
    return count


def plain(number: int, folder: str, start_s: float, seconds: float) -> int:
    files = [
        sqlite3.connect(f"{folder}/{name}.db", isolation_level=None, timeout=60)
        for name in ("a", "b")
    ]
    for connection in files:
        connection.execute("PRAGMA synchronous = FULL")
    count = 0
    time.sleep(max(0.0, start_s - time.time()))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for connection in files:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(SQL, (number,))
            connection.execute("COMMIT")
        count += 1
    return count


def rate(work: object, seconds: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder)
        counts = in_processes(work, 4, folder, time.time() + 2, seconds)  # type: ignore[arg-type]
    return sum(counts) / seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    paired(
        "two SQLite files, 4 processes, tx/s",
        lambda: rate(ours, given.seconds),
        lambda: rate(plain, given.seconds),
        "at least 0.2",
        given.rounds,
    )


if __name__ == "__main__":
    main()
