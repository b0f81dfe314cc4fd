"""A small bank made by hand with plain sqlite3, and the audit run on it as a program."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

AUDIT = Path(__file__).resolve().parents[2] / "audit_bank.py"

TABLES = """
PRAGMA journal_mode = WAL;
CREATE TABLE accounts (id TEXT PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE opening (account_id TEXT PRIMARY KEY, amount INTEGER NOT NULL);
CREATE TABLE ledger (
    transfer_id TEXT, account_id TEXT, amount INTEGER NOT NULL,
    PRIMARY KEY (transfer_id, account_id)
);
CREATE TABLE refused (transfer_id TEXT PRIMARY KEY, reason TEXT NOT NULL);
CREATE TABLE concordant_branch (id TEXT PRIMARY KEY, state TEXT NOT NULL);
INSERT INTO concordant_branch VALUES ('old', 'committed');
"""

OPENING = {"a": 100, "b": 50, 'c,"\nd': 0, "é": 7}
TRANSFERS = [("t1", "a", "b", 30), ("t2", "b", "é", 80), ("t3", "é", "a", 500), ("t4", "a", "b", 1)]
HOMES = {"a": 0, 'c,"\nd': 0, "b": 1, "é": 2}
BALANCES = {"a": 69, "b": 1, 'c,"\nd': 0, "é": 87}


@contextmanager
def shard(folder: Path, number: int) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / f"shard {number}.db")) as connection:
        yield connection
        connection.commit()


def change(folder: Path, number: int, sql: str, *values: object) -> None:
    with shard(folder, number) as connection:
        assert connection.execute(sql, values).rowcount > 0


def build(folder: Path) -> Path:
    """Make three shards and their input: t1, t2 and t4 applied, t3 refused."""
    folder.mkdir()
    for number in range(3):
        with shard(folder, number) as connection:
            connection.executescript(TABLES)
    for account, home in HOMES.items():
        change(folder, home, "INSERT INTO accounts VALUES (?, ?)", account, BALANCES[account])
        change(folder, home, "INSERT INTO opening VALUES (?, ?)", account, OPENING[account])
    for transfer, source, target, amount in TRANSFERS:
        if transfer != "t3":
            for account, moved in ((source, -amount), (target, amount)):
                row = (transfer, account, moved)
                change(folder, HOMES[account], "INSERT INTO ledger VALUES (?, ?, ?)", *row)
    change(folder, 1, "INSERT INTO refused VALUES ('t3', 'no funds')")
    write_input(folder)
    return folder


def write_input(folder: Path) -> None:
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in OPENING}
    lines = ["id,balance", *(f"{quoted[name]},{amount}" for name, amount in OPENING.items())]
    (folder / "accounts.csv").write_text("\n".join(lines) + "\n", "utf-8")
    lines = ["id,from,to,amount", *(f"{t},{a},{b},{n}" for t, a, b, n in TRANSFERS)]
    (folder / "transfers.csv").write_text("\n".join(lines) + "\n", "utf-8")
    shards = ["sqlite:///./shard%200.db", "sqlite:///./shard%201.db"]
    shards.append(f"sqlite://{str(folder).replace(' ', '%20')}/shard%202.db")
    numbers: dict[str, object] = {"accounts": 4, "transfers": 4, "total": 157}
    bank = {"shards": shards, **numbers, "transfers_file": "transfers.csv"}
    (folder / "bank.json").write_text(json.dumps(bank))


def edit_bank(folder: Path, **changes: object) -> None:
    bank = json.loads((folder / "bank.json").read_text())
    (folder / "bank.json").write_text(json.dumps({**bank, **changes}))


def urls(folder: Path) -> list[str]:
    return [f"sqlite://{folder}/shard {number}.db" for number in range(3)]


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    # -S: without the environment's packages, so that it must manage with Python's own.
    command = [sys.executable, "-S", str(AUDIT), *map(str, arguments)]
    env = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=env, timeout=60)


def checks_of(done: subprocess.CompletedProcess[str]) -> set[str]:
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["ok"] is (done.returncode == 0)
    assert bool(found["violations"]) is (done.returncode == 1)
    return {violation["check"] for violation in found["violations"]}
