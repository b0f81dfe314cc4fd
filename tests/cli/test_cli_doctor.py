"""`concordant doctor`: what it finds, and how it ends."""

from __future__ import annotations

import fcntl
import sqlite3
import time
from contextlib import closing

import pytest

import concordant.cli.doctor as doctor_module
from concordant.cli.reach import REACH_S
from concordant.placement.hashing.xxh64 import xxh64_pure
from tests.provision.command_line import Shell

ALL = ("-p", "locks", "-p", "log", "-p", "participant")


def test_a_backend_that_works(shell: Shell) -> None:
    url = f"sqlite://{shell.folder}/all.db"
    made = shell.json("doctor", url, "--make", *ALL, "-o", "json")
    assert [report["status"] for report in made["ports"]] == ["ok"] * 3
    found = shell.json("doctor", url, "-o", "json")
    assert (found["ok"], found["url"]) == (True, url)
    assert found["placement_kernel"] == "C"
    assert all(found[name] for name in ("concordant", "python", "platform", "sqlite"))
    ports = {report["port"]: report for report in found["ports"]}
    assert {name: report["status"] for name, report in ports.items()} == {
        "locks": "ok",
        "log": "ok",
        "participant": "ok",
    }
    promised = ports["locks"]["capabilities"]
    assert (promised["fencing"], promised["across_hosts"]) == ("same-transaction", False)
    assert promised["note"]
    assert ports["locks"]["facts"]["acquire_and_release_ms"] > 0
    assert all(report["facts"]["round_trip_ms"] > 0 for report in ports.values())
    assert ports["log"]["facts"]["log_id"].startswith("c")
    assert ports["participant"]["facts"]["in_doubt"] == 0
    # The throwaway lock is gone.
    assert shell.json("lock", "ls", "--url", url, "-o", "json") == {"locks": []}


def test_as_text(shell: Shell) -> None:
    unused = shell.run("doctor", shell.url)
    assert (unused.returncode, unused.stderr) == (0, "")
    assert "\nlocks: unused\n" in unused.stdout
    assert "would make" in unused.stdout
    done = shell.run("doctor", shell.url, "--make", *ALL)
    assert (done.returncode, done.stderr) == (0, "")
    for line in ("locks: ok", "log: ok", "participant: ok"):
        assert f"\n{line}\n" in done.stdout
    assert "same-transaction" in done.stdout


def test_without_a_url_only_the_embedded_locks(shell: Shell) -> None:
    del shell.environment["CONCORDANT_URL"]
    found = shell.json("doctor", "-o", "json")
    assert [report["port"] for report in found["ports"]] == ["locks"]
    assert found["url"].endswith("/state/concordant/locks.db")
    shell.json("doctor", "--make", "-p", "locks", "-o", "json")
    found = shell.json("doctor", "-o", "json")
    assert [report["status"] for report in found["ports"]] == ["ok"]


def test_one_port_alone(shell: Shell) -> None:
    found = shell.json("doctor", "-p", "log", "-o", "json")
    assert [report["port"] for report in found["ports"]] == ["log"]


def test_a_port_that_the_backend_has_not(shell: Shell) -> None:
    found = shell.json("doctor", "memory://x", "-o", "json")
    assert [report["status"] for report in found["ports"]] == ["ok", "ok", "absent"]
    done = shell.run("doctor", "memory://x", "--port", "participant")
    assert done.returncode == 78
    assert "concordant: participant misconfigured: " in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "nothing://host",
        "sqlite:///no/such/folder/x.db",
        "sqlite:///tmp/x.db?nonsense=1",
        "memory://user:hunter2@x",
        "nothing://user:hunter2@x?password=hunter2",
    ],
)
def test_misconfigured(shell: Shell, url: str) -> None:
    for output in ("text", "json"):
        done = shell.run("doctor", url, "-o", output)
        assert done.returncode == 78, done
        assert done.stderr.startswith("concordant: ")
        assert done.stderr.count("\n") == 1
        assert "hunter2" not in done.stderr + done.stdout


def test_a_file_of_something_else_has_no_locks_but_is_a_participant(shell: Shell) -> None:
    with closing(sqlite3.connect(shell.folder / "bank.db")) as plain:
        plain.execute("CREATE TABLE accounts (id TEXT PRIMARY KEY)")
    url = f"sqlite://{shell.folder}/bank.db"
    assert shell.run("doctor", url).returncode == 78
    assert shell.json("doctor", url, "-p", "participant", "-o", "json")["ok"]


@pytest.mark.slow
def test_a_backend_that_hangs_is_told_soon(shell: Shell) -> None:
    with open(shell.folder / "other.db.lock", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        start = time.monotonic()
        done = shell.run("doctor", f"sqlite://{shell.folder}/other.db?wait_s=600", "--make", *ALL)
        # Four times what is promised: a test does not measure.
        assert time.monotonic() - start < 20
    assert done.returncode == 69
    assert done.stdout.count("unreachable") == 3
    # Each was given all of it, though they were asked together.
    assert done.stdout.count(f"did not answer within {REACH_S:g} s") == 3
    assert done.stderr.startswith("concordant: locks unreachable: ")


def test_the_placement_kernel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def named() -> str:
        kernel: str = doctor_module._about("memory://x")["placement_kernel"]
        return kernel

    assert named() == "C"
    monkeypatch.setattr(doctor_module, "native", None)
    assert named().startswith("pure Python, hashes by xxhash ")
    monkeypatch.setattr(doctor_module, "xxh64", xxh64_pure)
    assert named() == "pure Python"
