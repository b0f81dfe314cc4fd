"""The independent audit: what it reads and from where, and when it can say nothing."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import audit_bank
import pytest

from tests.provision.plain_bank import build, change, checks_of, edit_bank, run, shard, urls

# Seconds of processes, waits or examples: more than daily use waits for.
pytestmark = pytest.mark.slow


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    return build(tmp_path / "a bank")


def found_in(folder: Path, unfinished_ok: bool = False) -> set[str]:
    shards, book = audit_bank.read_directory(folder)
    violations = audit_bank.audit(shards, book, unfinished_ok=unfinished_ok)
    return {violation.check for violation in violations}


def test_unfinished_transfers_are_missing_unless_allowed(bank: Path) -> None:
    with (bank / "transfers.csv").open("a") as file:
        file.write("t5,a,b,1\n")
    edit_bank(bank, transfers=5)
    done = run(bank, "-o", "json")
    assert (done.returncode, checks_of(done)) == (1, {"transfer-missing", "requested"})
    assert run(bank, "--unfinished-ok").returncode == 0


def test_unfinished_ok_forgives_nothing_else(bank: Path) -> None:
    change(bank, 1, "DELETE FROM ledger WHERE transfer_id = 't1'")
    found = found_in(bank, unfinished_ok=True)
    assert found == {"ledger-rows", "ledger-sum", "balance"}


def test_without_a_transfers_file_the_number_of_transfers_is_checked(bank: Path) -> None:
    edit_bank(bank, transfers_file=None)
    assert found_in(bank) == set()
    edit_bank(bank, transfers=5)
    assert found_in(bank) == {"requested"}
    assert found_in(bank, unfinished_ok=True) == set()
    edit_bank(bank, transfers=3)
    assert found_in(bank, unfinished_ok=True) == {"requested"}


def test_the_total_of_the_directory_binds(bank: Path) -> None:
    edit_bank(bank, total=158)
    assert found_in(bank) == {"total"}
    edit_bank(bank, total=157)
    text = (bank / "accounts.csv").read_text("utf-8")
    (bank / "accounts.csv").write_text(text.replace(",100", ",101"), "utf-8")
    assert found_in(bank) == {"total", "opening"}


def test_it_sees_what_is_still_in_a_wal_and_changes_no_file(bank: Path) -> None:
    with closing(sqlite3.connect(bank / "shard 0.db")) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("UPDATE accounts SET balance = balance + 1 WHERE id = 'a'")
        writer.commit()
        wal = bank / "shard 0.db-wal"
        before = ((bank / "shard 0.db").read_bytes(), wal.read_bytes())
        assert len(before[1]) > 0
        done = run(bank, "-o", "json")
        assert (done.returncode, checks_of(done)) == (1, {"total", "balance"})
        assert ((bank / "shard 0.db").read_bytes(), wal.read_bytes()) == before


def test_it_sees_what_a_killed_writer_left_in_its_wal(bank: Path) -> None:
    script = (
        "import os, sqlite3, sys\n"
        "writer = sqlite3.connect(sys.argv[1])\n"
        "writer.execute('PRAGMA wal_autocheckpoint = 0')\n"
        "writer.execute('UPDATE accounts SET balance = balance + 1')\n"
        "writer.commit()\n"
        "os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, bank / "shard 2.db"], timeout=60)
    assert done.returncode == 9
    assert (bank / "shard 2.db-wal").stat().st_size > 0
    assert checks_of(run(bank, "-o", "json")) == {"total", "balance"}


def test_text_output_names_each_violation_and_cuts_long_lists(bank: Path) -> None:
    change(bank, 0, "UPDATE accounts SET balance = -3 WHERE id = ?", 'c,"\nd')
    change(bank, 2, "UPDATE accounts SET balance = -3 WHERE id = 'é'")
    rows = [(f"x{number:02d}",) for number in range(30)]
    with shard(bank, 2) as connection:
        connection.executemany("INSERT INTO refused VALUES (?, 'no funds')", rows)
    done = run(bank, PYTHONIOENCODING="ascii")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert any(line.startswith("VIOLATION overdraft: account 'c,\"\\nd' on") for line in lines)
    assert any(line.startswith(r"VIOLATION overdraft: account '\xe9' on") for line in lines)
    assert sum(line.startswith("VIOLATION transfer-unknown: ") for line in lines) == 20
    assert "30 transfer-unknown" in lines[-1]


def cannot(folder: Path, *arguments: object) -> str:
    done = run("-o", "json", *(arguments or (folder,)))
    assert done.returncode == 2
    answer = json.loads(done.stdout)
    assert (answer["ok"], answer["total"], answer["violations"]) == (False, None, [])
    assert done.stderr == f"audit_bank: cannot audit: {answer['error']}\n"
    return str(answer["error"])


def test_what_cannot_be_read_is_exit_2_and_not_a_verdict(bank: Path, tmp_path: Path) -> None:
    assert "bank.json: No such file" in cannot(tmp_path)
    assert "No such file" in cannot(tmp_path / "absent")
    assert "unable to open" in cannot(bank, f"sqlite://{tmp_path}/absent.db")
    assert not (tmp_path / "absent.db").exists()
    assert "each once" in cannot(bank, *urls(bank), urls(bank)[0])
    assert "'redis'" in cannot(bank, "redis://:secret@host")
    (tmp_path / "text.db").write_text("no database" * 100)
    assert "not a database" in cannot(bank, f"sqlite://{tmp_path}/text.db")
    with shard(bank, 1) as connection:
        connection.execute("DROP TABLE refused")
    assert "no such table" in cannot(bank)
    assert "no such table" in cannot(bank, *urls(bank))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bank.json", "{"),
        ("bank.json", "[]"),
        ("bank.json", '{"shards": []}'),
        ("accounts.csv", ""),
        ("accounts.csv", "id,balance\na\n"),
        ("accounts.csv", "id,balance\na,much\n"),
        ("accounts.csv", "id,balance\na,1\na,1\n"),
        ("accounts.csv", 'id,balance\n"a,1\n'),
        ("transfers.csv", "id,from,to,amount\nt1,a,b,1\n\n"),
    ],
)
def test_a_broken_directory_is_exit_2(bank: Path, name: str, content: str) -> None:
    (bank / name).write_text(content)
    assert str(bank) in cannot(bank)


def test_a_file_that_vanished_from_the_directory_is_exit_2(bank: Path) -> None:
    (bank / "transfers.csv").unlink()
    assert "transfers.csv: No such file" in cannot(bank)


def test_a_bank_without_a_branch_table_is_sound(bank: Path) -> None:
    with shard(bank, 0) as connection:
        connection.execute("DROP TABLE concordant_branch")
    assert found_in(bank) == set()


@pytest.mark.parametrize(
    ("url", "place", "bare", "password"),
    [
        (
            "postgresql://u:p%40s@h:5432/db",
            "postgresql://u@h:5432/db",
            "postgresql://u@h:5432/db",
            "p@s",
        ),
        ("postgres://h/db", "postgres://h/db", "postgres://h/db", ""),
        (
            "postgresql://u@[::1]:1,h2:2/db?password=s%2Bt&sslmode=disable",
            "postgresql://u@[::1]:1,h2:2/db",
            "postgresql://u@[::1]:1,h2:2/db?sslmode=disable",
            "s+t",
        ),
        ("postgresql:///db?host=/tmp", "postgresql:///db", "postgresql:///db?host=/tmp", ""),
    ],
)
def test_the_password_goes_neither_to_arguments_nor_to_people(
    url: str, place: str, bare: str, password: str
) -> None:
    assert audit_bank.take_apart(url) == (place, bare, password)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@127.0.0.1:1/db?connect_timeout=5",
        "postgresql://u@127.0.0.1:1/db?password=secret&connect_timeout=5",
        "postgresql://u:sec/secret@127.0.0.1:1/db",
        "postgresql://u:1?secret@127.0.0.1:1/db",
        "postgresql://u:1#secret@127.0.0.1:1/db",
        "postgresql://u:x@secret@127.0.0.1:1/db",
        "postgresql://u:secret@127.0.0.1:port/db",
    ],
)
def test_a_failing_server_is_exit_2_and_no_password_is_shown(bank: Path, url: str) -> None:
    done = run(url)
    assert done.returncode == 2
    assert done.stderr.startswith("audit_bank: cannot audit: ")
    assert "secret" not in done.stdout + done.stderr
    edit_bank(bank, shards=[url])
    assert "secret" not in cannot(bank)
