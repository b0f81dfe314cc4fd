"""What the bank is asked for and cannot do: told at the start, by exit code and reason."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from concordant.bank.plan import PLAN_FILE
from concordant.cli.reach import REACH_S

# Four times what a user has to wait at most, as for every bound that is one of liveness.
_BOUND_S = 4 * 5.0


def bank(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the bank and return what it printed."""
    command = [sys.executable, "-m", "concordant", "demo", "bank", *options]
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refused(code: int, *options: str, **environment: str) -> str:
    """Return the one line that a refused run says."""
    done = bank(*options, **environment)
    assert (done.returncode, done.stdout) == (code, ""), done
    assert done.stderr.startswith("concordant: "), done
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with contextlib.closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "scheme"),
    [
        ("--coordination", "redis"),
        ("--coordination", "postgresql"),
        ("--log", "postgresql"),
        ("--shard", "postgresql"),
        ("--add-shard", "postgresql"),
    ],
)
def test_a_silent_store_is_exit_69_in_time(
    tmp_path: Path, silent: str, option: str, scheme: str
) -> None:
    started_s = time.monotonic()
    url = f"{scheme}://ann:secret@{silent}/0"
    said = refused(69, "--dir", str(tmp_path / "d"), option, url)
    assert time.monotonic() - started_s < _BOUND_S
    assert f"{scheme}://{silent}/0 did not answer within {REACH_S:g} s" in said
    assert "secret" not in said
    assert not (tmp_path / "d" / PLAN_FILE).exists()


@pytest.mark.parametrize("option", ["--coordination", "--log", "--shard", "--add-shard"])
def test_a_server_that_refuses_is_exit_69(tmp_path: Path, option: str) -> None:
    with contextlib.closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else's
        url = f"postgresql://127.0.0.1:{closed.getsockname()[1]}/x"
        said = refused(69, "--dir", str(tmp_path / "d"), option, url)
    assert "cannot be reached" in said


@pytest.mark.parametrize("option", ["--coordination", "--log", "--shard", "--add-shard"])
def test_a_file_that_cannot_be_there_is_exit_64(tmp_path: Path, option: str) -> None:
    url = f"sqlite://{tmp_path}/absent/x.db"
    assert "create it" in refused(64, "--dir", str(tmp_path / "d"), option, url)


@pytest.mark.parametrize("option", ["--coordination", "--log"])
def test_a_store_of_one_process_alone_is_exit_78(tmp_path: Path, option: str) -> None:
    said = refused(78, "--dir", str(tmp_path / "d"), option, "memory://x")
    assert "only one process sees it" in said


@pytest.mark.parametrize("without", ["locks", "transactions"])
def test_sagas_without_locks_or_transactions_are_exit_64(tmp_path: Path, without: str) -> None:
    options = ["--dir", str(tmp_path / "d"), "--pattern", "saga", "--without", without]
    assert "leave --pattern out, or --without" in refused(64, *options)


def test_a_report_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    for report in (tmp_path / "absent" / "r.html", tmp_path, tmp_path / "file" / "r.html"):
        (tmp_path / "file").touch()
        said = refused(64, "--dir", str(directory), "--report", str(report), "-o", "json")
        assert f"the report {report} cannot be written" in said
        assert not (directory / PLAN_FILE).exists()


def test_the_result_is_there_when_the_report_fails_at_the_end(tmp_path: Path) -> None:
    """The folder of the report goes away during the run."""
    folder = tmp_path / "reports"
    folder.mkdir()
    options = ["--transfers", "40", "--kills", "0", "--seed", "1", "-o", "json"]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "concordant", "demo", "bank", "--dir", str(tmp_path / "d")),
            *("--report", str(folder / "r.html"), *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end_s = time.monotonic() + 30
    while not (tmp_path / "d" / PLAN_FILE).exists() and time.monotonic() < end_s:
        time.sleep(0.005)
    folder.rmdir()
    printed, said = process.communicate(timeout=60)
    assert process.returncode == 64, said
    assert json.loads(printed)["requested"] == 40
    assert "cannot be written" in said


def test_a_report_may_lie_in_the_directory_that_is_made(tmp_path: Path) -> None:
    report = tmp_path / "d" / "report.html"
    done = bank("--dir", str(report.parent), "--report", str(report), "--transfers", "0")
    assert done.returncode == 0, done.stderr
    assert report.read_text("utf-8").startswith("<!doctype html>")


def test_json_leaves_the_temporary_directory_and_the_seed_on_stderr(tmp_path: Path) -> None:
    done = bank("--transfers", "6", "--kills", "0", "-o", "json", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    (directory,) = tmp_path.glob("concordant-bank-*")
    seed = json.loads((directory / PLAN_FILE).read_text())["plan"]["seed"]
    assert done.stderr == f"The bank lies in {directory} (seed {seed})\n"
    assert json.loads(done.stdout)["applied_now"] > 0
    again = bank("--dir", str(directory), "-o", "json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["applied_now"] == 0


def test_no_temporary_directory_is_left_by_a_refusal(tmp_path: Path) -> None:
    refused(78, "--log", "memory://x", TMPDIR=str(tmp_path))
    assert list(tmp_path.glob("concordant-bank-*")) == []


@pytest.mark.slow
def test_a_second_run_needs_the_directory_alone(tmp_path: Path) -> None:
    """Whatever the first was asked for: its pattern and its shards are the directory's."""
    directory = tmp_path / "d"
    shards = [part for n in range(2) for part in ("--shard", f"sqlite://{tmp_path}/s{n}.db")]
    first = bank(
        *("--dir", str(directory), "--pattern", "saga", "--without", "ring", *shards),
        *("--transfers", "60", "--kills", "1", "--seed", "2", "-o", "json"),
    )
    assert first.returncode == 0, first.stderr
    again = bank("--dir", str(directory), "-o", "json")
    assert again.returncode == 0, again.stderr
    before, after = json.loads(first.stdout), json.loads(again.stdout)
    assert (after["applied_now"], after["kills"]) == (0, 0)
    for name in ("requested", "applied", "refused", "moved", "total_after"):
        assert after[name] == before[name]
    said = refused(64, "--dir", str(directory), "--pattern", "2pc")
    assert "another --pattern" in said
