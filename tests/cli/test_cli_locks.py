"""`concordant lock ls`, `show` and `break`."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest

from concordant import Client
from concordant.sync.lease import Lease
from tests.provision.command_line import CONCORDANT, Shell


@pytest.fixture
def client(shell: Shell) -> Iterator[Client]:
    with Client(shell.url) as client:
        yield client


@pytest.fixture
def lease(client: Client) -> Lease:
    return client.lock("my lock", note="the [red] \x1b[2Jholder").acquire()


def test_ls(shell: Shell, client: Client, lease: Lease) -> None:
    head, line = shell.run("lock", "ls").stdout.splitlines()
    assert re.split("  +", head) == ["NAME", "FENCE", "TTL LEFT", "WAITING", "HELD BY"]
    name, fence, left, waiting, holder = re.split("  +", line)
    assert (name, fence, waiting) == ("my lock", str(lease.fence), "0")
    assert 0 < float(left.removesuffix(" s")) <= 30
    assert holder == "the [red] �[2Jholder"
    lease.release()
    assert len(shell.run("lock", "ls").stdout.splitlines()) == 1
    assert shell.json("lock", "ls", "-o", "json") == {"locks": []}


def test_ls_as_json_goes_through_all_pages(shell: Shell, client: Client) -> None:
    names = sorted(f"lock-{number}" for number in range(300))
    with client.locks(names[:150]), client.locks(names[150:]):
        locks = shell.json("lock", "ls", "-o", "json")["locks"]
    assert [lock["name"] for lock in locks] == names
    assert len({lock["holders"][0]["owner"] for lock in locks}) == 300


def test_show(shell: Shell, client: Client, lease: Lease) -> None:
    shown = shell.json("lock", "show", "my lock", "-o", "json")
    (holder,) = shown["holders"]
    assert (shown["name"], shown["fence"], shown["waiters"]) == ("my lock", lease.fence, [])
    assert (holder["owner"], holder["fence"]) == (lease.owner, lease.fence)
    assert 0 < holder["remaining_ms"] <= 30_000
    text = shell.run("lock", "show", "my lock").stdout
    assert lease.owner in text
    assert str(lease.fence) in text
    assert "\x1b" not in text
    lease.release()
    assert "free" in shell.run("lock", "show", "my lock").stdout
    assert shell.json("lock", "show", "never used", "-o", "json")["holders"] == []


def test_break_by_fence(shell: Shell, lease: Lease) -> None:
    wrong = shell.run("lock", "break", "my lock", "--fence", str(lease.fence + 1), "--yes")
    assert (wrong.returncode, "nothing was changed" in wrong.stdout) == (0, True)
    assert shell.fence("my lock") == lease.fence
    broken = shell.json(
        "lock", "break", "my lock", "--fence", str(lease.fence), "--yes", "-o", "json"
    )
    assert broken == {"name": "my lock", "broken": 1}
    assert shell.fence("my lock") == 0


def test_break_needs_to_know_whom_and_a_yes(shell: Shell, lease: Lease) -> None:
    fence = str(lease.fence)
    refused = [
        ["lock", "break", "my lock", "--yes"],
        ["lock", "break", "my lock", "--all", "--fence", fence, "--yes"],
        ["lock", "break", "my lock", "--all"],
        ["lock", "break", "my lock", "--fence", "0", "--yes"],
    ]
    for arguments in refused:
        done = shell.run(*arguments, stdin="y\n")
        assert (done.returncode, done.stderr.count("\n")) == (64, 1), done
    assert shell.fence("my lock") == lease.fence
    assert shell.run("lock", "break", "my lock", "--all", "--yes").returncode == 0
    assert shell.fence("my lock") == 0


@pytest.mark.parametrize(("answer", "code", "broken"), [("y\n", 0, True), ("n\n", 130, False)])
def test_break_asks_on_a_terminal(
    shell: Shell, lease: Lease, answer: str, code: int, broken: bool
) -> None:
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [CONCORDANT, "lock", "break", "my lock", "--all"],
            env=shell.environment,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            os.write(ours, answer.encode())
            out, asked = process.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert "Evict every holder of 'my lock'?" in asked
    assert (process.returncode, bool(out)) == (code, broken)
    assert (shell.fence("my lock") == 0) is broken


def test_on_a_terminal_ls_is_a_table(shell: Shell, lease: Lease) -> None:
    ours, theirs = pty.openpty()
    command = [CONCORDANT, "lock", "ls"]
    with subprocess.Popen(command, env=shell.environment, stdout=theirs) as process:
        os.close(theirs)
        shown = _read_all(ours)
        assert process.wait(60) == 0
    assert "my lock" in shown
    assert "[red]" in shown
    assert "──" in shown
    assert "\x1b[2J" not in shown


def _read_all(terminal: int) -> str:
    shown = b""
    with open(terminal, "rb", buffering=0) as stream:
        # A terminal whose other end was closed gives an error on Linux, an end elsewhere.
        with suppress(OSError):
            while chunk := stream.read(4096):
                shown += chunk
    return shown.decode()


def test_bad_names_and_stores(shell: Shell) -> None:
    assert shell.run("lock", "show", "a\nb").returncode == 64
    assert shell.run("lock", "show", "").returncode == 64
    assert shell.run("lock", "ls", "--url", "nonsense").returncode == 64
    secret = "nothing://user:hunter2@host/x?password=hunter2"
    done = shell.run("lock", "ls", "--url", secret)
    assert (done.returncode, done.stdout) == (64, "")
    assert "hunter2" not in done.stderr
    (shell.folder / "text.db").write_text("this is no database, and never was one " * 100)
    done = shell.run("lock", "ls", "--url", f"sqlite://{shell.folder}/text.db")
    assert (done.returncode, done.stderr.count("\n")) == (64, 1)
