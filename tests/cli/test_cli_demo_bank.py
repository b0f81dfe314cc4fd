"""The main job through the command line: kills, the joining shard, second runs, bad input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from concordant.bank.outcome import NUMBERS, audit
from tests.provision import postgres
from tests.provision import redis as redis_backend

pytestmark = pytest.mark.slow


def bank(directory: Path, *options: str, timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
    """Run the bank in a directory and return what it printed."""
    command = [sys.executable, "-m", "concordant", "demo", "bank", "--dir", str(directory)]
    return subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=timeout_s, check=False
    )


def numbers(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the JSON of a run that went well."""
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A bank that was run to its end with two kills."""
    directory = tmp_path_factory.mktemp("bank")
    options = ["--transfers", "300", "--kills", "2", "--seed", "7", "-o", "json"]
    return directory, numbers(bank(directory, *options))


def test_every_number_is_there_and_right(finished: tuple[Path, dict[str, Any]]) -> None:
    _, found = finished
    assert set(found) == {*NUMBERS, "kill_details"}
    assert all(isinstance(found[name], int | float) for name in NUMBERS)
    assert found["total_before"] == found["total_after"] > 0
    assert found["requested"] == found["applied"] + found["refused"] == 300
    assert found["applied_now"] == found["applied"]
    assert found["refused"] > 0
    assert found["moved"] == found["moved_minimum"] > 0
    assert found["violations"] == 0


def test_kills_hit_unfinished_transactions_and_others_recover_them(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    _, found = finished
    assert found["kills"] == 2 == len(found["kill_details"])
    pids = {kill["pid"] for kill in found["kill_details"]}
    for kill in found["kill_details"]:
        assert "prepared" in kill["state"]
        assert kill["gid"]
        assert kill["recovered_by"] not in (None, kill["pid"])
    assert len(pids) == 2
    assert found["recovered"] == 2


def test_running_again_finds_nothing_to_do(finished: tuple[Path, dict[str, Any]]) -> None:
    directory, first = finished
    again = numbers(bank(directory, "--kills", "5", "-o", "json"))
    assert again["applied_now"] == again["kills"] == 0
    for name in ("applied", "refused", "total_after", "moved", "moved_minimum"):
        assert again[name] == first[name]


def test_the_audit_that_the_demo_runs_can_fail(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    directory, _ = finished
    copy = tmp_path / "copy"
    shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("*.hints"))
    book = json.loads((copy / "bank.json").read_text())
    book["shards"] = [url.replace(str(directory), str(copy)) for url in book["shards"]]
    (copy / "bank.json").write_text(json.dumps(book))
    assert audit(str(copy)) == []
    with sqlite3.connect(copy / "shard-0.db") as shard:
        shard.execute("UPDATE accounts SET balance = balance + 1")
    assert audit(str(copy)) != []


@pytest.mark.parametrize("workers", [1, 6])
def test_a_bank_that_was_killed_whole_goes_on(tmp_path: Path, workers: int) -> None:
    """With the kills of a usual run, and perhaps with another number of workers than before."""
    found = _killed_whole(tmp_path, 800, 100, "--workers", str(workers))
    assert 0 < found["applied_now"] < found["applied"]
    assert found["kills"] == found["recovered"] == 3


def test_a_bank_with_little_left_ends_as_well(tmp_path: Path) -> None:
    found = _killed_whole(tmp_path, 300, 560)
    assert found["applied_now"] <= 20
    assert found["kills"] == found["recovered"] <= 3


def _killed_whole(directory: Path, transfers: int, rows: int, *options: str) -> dict[str, Any]:
    """Kill a bank with all its processes when its ledgers have so many rows, and run it again."""
    command = [sys.executable, "-m", "concordant", "demo", "bank", "--dir", str(directory)]
    process = subprocess.Popen(
        [*command, "--transfers", str(transfers), "--kills", "0", "--seed", "3"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end_s = time.monotonic() + 30
    while _ledger_rows(directory) < rows and time.monotonic() < end_s:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert _ledger_rows(directory) >= rows
    found = numbers(bank(directory, *options, "-o", "json"))
    assert found["requested"] == found["applied"] + found["refused"] == transfers
    assert found["violations"] == 0
    return found


def _ledger_rows(directory: Path) -> int:
    rows = 0
    for path in directory.glob("shard-*.db"):
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as shard:
                rows += shard.execute("SELECT count(*) FROM ledger").fetchone()[0]
        except sqlite3.OperationalError:
            continue  # not made yet
    return rows


def test_transfers_as_sagas_survive_the_same(tmp_path: Path) -> None:
    options = ["--transfers", "300", "--kills", "2", "--seed", "5", "-o", "json"]
    found = numbers(bank(tmp_path, "--pattern", "saga", *options))
    assert found["requested"] == found["applied"] + found["refused"] == 300
    assert found["kills"] == found["recovered"] == 2
    assert all(kill["state"].startswith("saga") for kill in found["kill_details"])
    assert found["moved"] == found["moved_minimum"]
    assert found["violations"] == 0


def test_the_report_is_one_file_that_fetches_nothing(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    options = ["--transfers", "120", "--kills", "1", "--seed", "5", "--contrast"]
    done = bank(tmp_path / "d", *options, "--report", str(report), "-o", "json")
    found = numbers(done)
    assert set(found["contrast"]) == {"concordant", "locks", "transactions", "ring"}
    text = report.read_text("utf-8")
    assert text.count("<svg") >= 4
    for word in ("http:", "https:", "src=", "@import", "url("):
        assert word not in text
    for kill in found["kill_details"]:
        assert kill["gid"] in text


@pytest.mark.server
@pytest.mark.parametrize("pattern", ["2pc", "saga"])
def test_servers_and_files_mixed(tmp_path: Path, pattern: str) -> None:
    """PostgreSQL and SQLite shards, locks and the ring's row in PostgreSQL or Redis."""
    fresh = postgres.server().fresh
    coordination = fresh() if pattern == "saga" else redis_backend.REDIS.lock_url(tmp_path)
    shards = [fresh(), f"sqlite://{tmp_path}/file.db", fresh()]
    found = numbers(
        bank(
            tmp_path / "d",
            *(part for url in shards for part in ("--shard", url)),
            *("--add-shard", fresh(), "--coordination", coordination, "--pattern", pattern),
            *("--transfers", "150", "--kills", "1", "--seed", "2", "-o", "json"),
        )
    )
    assert found["requested"] == found["applied"] + found["refused"] == 150
    assert found["kills"] == found["recovered"] == 1
    assert found["moved"] == found["moved_minimum"] > 0
    assert found["violations"] == 0


def test_its_own_input_is_applied_exactly(tmp_path: Path) -> None:
    accounts, transfers = tmp_path / "a.csv", tmp_path / "t.csv"
    accounts.write_text("id,balance\nann,100\nbob,0\ncéline,9223372036854775707\n")
    transfers.write_text(
        "id,from,to,amount\n1,ann,bob,60\n2,ann,bob,60\n3,bob,céline,10\n4,céline,ann,5\n"
    )
    files = ["--accounts", str(accounts), "--transfers-file", str(transfers)]
    found = numbers(bank(tmp_path / "d", *files, "--kills", "0", "--workers", "1", "-o", "json"))
    assert (found["applied"], found["refused"]) == (3, 1)
    balances: dict[str, int] = {}
    for path in (tmp_path / "d").glob("shard-*.db"):
        with sqlite3.connect(path) as shard:
            balances |= dict(shard.execute("SELECT id, balance FROM accounts"))
    assert balances == {"ann": 45, "bob": 50, "céline": 9223372036854775712}
    again = numbers(bank(tmp_path / "d", *files, "-o", "json"))
    assert again["applied_now"] == again["kills"] == 0


def test_the_smallest_bank_ends_with_the_defaults_and_again(tmp_path: Path) -> None:
    """There is little to catch anybody at: then there are fewer kills."""
    accounts, transfers = tmp_path / "a.csv", tmp_path / "t.csv"
    accounts.write_text("id,balance\nann,100\nbob,50\n")
    transfers.write_text("id,from,to,amount\n1,ann,bob,30\n2,bob,ann,500\n")
    files = ["--accounts", str(accounts), "--transfers-file", str(transfers)]
    found = numbers(bank(tmp_path / "d", *files, "-o", "json"))
    assert (found["applied_now"], found["refused"], found["total_after"]) == (1, 1, 150)
    assert found["kills"] == len(found["kill_details"]) == found["recovered"] <= 3
    again = numbers(bank(tmp_path / "d", "-o", "json"))
    assert again["kills"] == again["applied_now"] == again["transfers_per_s"] == 0
    assert (again["applied"], again["refused"]) == (1, 1)


@pytest.mark.parametrize("transfers", [3, 6, 10, 15])
def test_small_banks_end_with_the_defaults(tmp_path: Path, transfers: int) -> None:
    options = ["--transfers", str(transfers), "--seed", "1", "-o", "json"]
    found = numbers(bank(tmp_path, *options))
    assert found["requested"] == found["applied"] + found["refused"] == transfers
    assert found["kills"] == len(found["kill_details"]) <= 3


def test_bad_input_stops_before_anything_is_applied(tmp_path: Path) -> None:
    accounts, transfers = tmp_path / "a.csv", tmp_path / "t.csv"
    accounts.write_text("id,balance\nann,100\nbob,0\n")
    transfers.write_text("id,from,to,amount\n1,ann,bob,60\n2,ann,ann,60\n")
    done = bank(tmp_path / "d", "--accounts", str(accounts), "--transfers-file", str(transfers))
    assert done.returncode == 65
    assert "t.csv" in done.stderr
    assert "line 3" in done.stderr
    assert not list((tmp_path / "d").glob("*.db"))


def test_another_input_for_a_known_bank_is_refused(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    directory, _ = finished
    done = bank(directory, "--transfers", "299")
    assert done.returncode == 65
    assert "another input" in done.stderr


@pytest.mark.parametrize("without", ["locks", "transactions", "ring"])
def test_each_column_of_the_contrast_loses(tmp_path: Path, without: str) -> None:
    """Losses are real, so a run may be lucky: a few are allowed, and one must lose."""
    for attempt in range(4):
        done = bank(
            tmp_path / str(attempt),
            *("--without", without, "--transfers", "500", "--kills", "2"),
            *("--seed", str(attempt), "-o", "json"),
        )
        found = json.loads(done.stdout)
        if without == "ring":
            lost = found["moved"] > 2 * found["moved_minimum"]
            assert found["violations"] == 0
        else:
            lost = found["total_after"] != found["total_before"]
            assert (done.returncode == 1) == bool(found["violations"])
        if lost:
            return
    pytest.fail(f"nothing was lost without {without}")
