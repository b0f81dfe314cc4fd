"""`concordant lock run`: exit codes, the command's environment, waiting, and the takeover."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.provision.command_line import AWAIT, LOOP, TELL, Shell, alive, children, state, until


def run(shell: Shell, *arguments: str, code: int) -> str:
    """Run `lock run` to this exit code and return its stderr, at most one line of ours."""
    done = shell.run("lock", "run", *arguments)
    assert done.returncode == code, done
    return done.stderr


# --- exit codes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("kill $$", 143)]
)
def test_the_exit_code_is_the_commands_own(shell: Shell, script: str, code: int) -> None:
    assert run(shell, "a", "--", "sh", "-c", script, code=code) == ""
    assert shell.fence("a") == 0


def test_a_command_that_cannot_run(shell: Shell) -> None:
    plain = shell.folder / "plain"
    plain.write_text("nothing to execute")
    assert "no-such-command" in run(shell, "a", "--", "no-such-command", code=127)
    assert "plain" in run(shell, "a", "--", str(plain), code=126)
    plain.chmod(0o755)
    run(shell, "a", "--", str(plain), code=126)
    assert shell.fence("a") == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["a"],
        ["a", "--"],
        ["a", "true"],
        ["--", "true"],
        ["a", "-n", "-w", "1", "--", "true"],
        ["a", "-w", "-1", "--", "true"],
        ["a", "--grace", "nan", "--", "true"],
        ["a", "--ttl", "0", "--", "true"],
        ["a\n", "--", "true"],
        ["a", "-E", "256", "--", "true"],
        ["a", "--on-lost", "cry", "--", "true"],
    ],
)
def test_usage_errors_are_one_line(shell: Shell, arguments: list[str]) -> None:
    said = run(shell, *arguments, code=64)
    assert said.startswith("concordant: ")
    assert said.count("\n") == 1


def test_what_follows_the_dashes_is_the_commands(shell: Shell) -> None:
    arguments = ["lock", "run", "a", "-n", "--", "echo", "-n", "--", "-o", "json", "--help"]
    done = shell.run(*arguments)
    assert (done.returncode, done.stdout) == (0, "-- -o json --help")


def test_the_command_knows_its_lease(shell: Shell) -> None:
    script = "echo $CONCORDANT_LOCK $CONCORDANT_FENCE $CONCORDANT_OWNER"
    fences = []
    for _ in range(2):
        done = shell.run("lock", "run", "my lock", "--", "sh", "-c", script)
        name, word, fence, owner = done.stdout.split()
        assert (name, word) == ("my", "lock")
        assert owner
        fences.append(int(fence))
    assert fences[0] < fences[1]


def test_json_is_alone_on_stdout(shell: Shell) -> None:
    done = shell.run("lock", "run", "a", "-o", "json", "--", "sh", "-c", "echo out; exit 3")
    facts = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (3, "out\n")
    assert facts["waited_s"] >= 0
    assert facts["fence"] > 0
    expected = {"lock": "a", "granted": True, "exit_code": 3, "lost": False}
    assert {name: facts[name] for name in expected} == expected


# --- waiting ------------------------------------------------------------------------------


@contextmanager
def held(shell: Shell, name: str) -> Iterator[None]:
    holder = shell.start("lock", "run", name, "--", "sleep", "100")
    until(lambda: shell.fence(name), "the lock is held")
    yield
    holder.terminate()
    assert holder.wait(60) == 143


@pytest.mark.slow
def test_busy(shell: Shell) -> None:
    with held(shell, "a"):
        said = run(shell, "a", "-n", "--", "true", code=75)
        assert said.startswith("concordant: 'a' is held by pid ")
        assert ": sleep (fence" in said
        assert "waited 0.2 s" in run(shell, "a", "-w", "0.2", "--", "true", code=75)
        run(shell, "a", "-n", "-E", "9", "--", "true", code=9)
        assert run(shell, "a", "-n", "--skip-ok", "--", "false", code=0) == ""
        assert shell.json("lock", "run", "a", "-n", "--skip-ok", "-o", "json", "--", "false") == {
            "lock": "a",
            "granted": False,
            "reason": said.removeprefix("concordant: ").strip(),
        }
        assert shell.view("a").waiters == ()


def test_a_waiter_runs_after_the_holder_under_a_higher_fence(shell: Shell) -> None:
    with held(shell, "a"):
        first = shell.fence("a")
        script = TELL + "tell fence $CONCORDANT_FENCE"
        waiter = shell.start("lock", "run", "a", "--", "sh", "-c", script)
        until(lambda: shell.view("a").waiters, "it waits")
        assert shell.written("fence") == ""
    assert waiter.wait(60) == 0
    assert int(shell.written("fence")) > first


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_waiting_leaves_nothing_behind(shell: Shell, number: signal.Signals) -> None:
    with held(shell, "a"):
        waiter = shell.start("lock", "run", "a", "--", "touch", "ran")
        until(lambda: shell.view("a").waiters, "it waits")
        waiter.send_signal(number)
        assert waiter.wait(60) == 128 + number
        assert shell.view("a").waiters == ()
        assert waiter.communicate() == ("", "")
    assert shell.fence("a") == 0
    assert not (shell.folder / "ran").exists()


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_told_soon(shell: Shell) -> None:
    # Somebody has the turn to write and never gives it back; the driver would wait for ever.
    with open(shell.folder / "other.db.lock", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        start = time.monotonic()
        url = f"sqlite://{shell.folder}/other.db?wait_s=600"
        said = run(shell, "a", "--url", url, "--", "touch", "ran", code=69)
        # Four times what is promised: a test does not measure.
        assert time.monotonic() - start < 20
    assert "did not answer" in said
    assert said.count("\n") == 1
    assert not (shell.folder / "ran").exists()


# --- the takeover -------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_holder_is_replaced_under_a_higher_fence(shell: Shell) -> None:
    script = TELL + "tell one $$; exec sleep 100"
    holder = shell.start("lock", "run", "a", "--ttl", "2", "--", "sh", "-c", script)
    command = int(until(lambda: shell.written("one"), "the command runs"))
    first = shell.fence("a")
    other = TELL + "tell two $CONCORDANT_FENCE"
    waiter = shell.start("lock", "run", "a", "--", "sh", "-c", other)
    until(lambda: shell.view("a").waiters, "the other waits")
    holder.kill()
    # The warden ends it: the next holder's command must not run beside it.
    until(lambda: not alive(command), "the killed holder's command has ended")
    assert shell.written("two") == "" or int(shell.written("two")) > first
    assert waiter.wait(60) == 0
    assert int(shell.written("two")) > first
    assert "died; ending its command" in holder.communicate()[1]


@pytest.mark.slow
def test_a_killed_holders_command_never_outlives_the_lease(shell: Shell) -> None:
    script = "trap '' TERM; " + TELL + f"tell one $$; {LOOP}"
    arguments = ["--ttl", "2", "--grace", "600", "--", "sh", "-c", script]
    holder = shell.start("lock", "run", "a", *arguments)
    command = int(until(lambda: shell.written("one"), "the command runs"))
    holder.kill()
    until(lambda: not alive(command), "TERM was ignored, so it was killed with the lease")


def test_with_warn_the_command_survives_its_holder(shell: Shell) -> None:
    script = TELL + f"tell one $$; {AWAIT}; tell two done"
    arguments = ["--ttl", "0.5", "--on-lost", "warn", "--", "sh", "-c", script]
    holder = shell.start("lock", "run", "a", *arguments)
    until(lambda: shell.written("one"), "the command runs")
    holder.kill()
    until(lambda: shell.fence("a") == 0, "the lease is over")
    (shell.folder / "stop").touch()
    assert until(lambda: shell.written("two"), "it ran to its end") == "done"


# --- loss ---------------------------------------------------------------------------------


def test_a_broken_lock_ends_the_command(shell: Shell) -> None:
    script = TELL + f"trap 'tell one ended; exit 0' TERM; {LOOP}"
    arguments = ["--ttl", "1", "-o", "json", "--", "sh", "-c", script]
    holder = shell.start("lock", "run", "a", *arguments)
    until(lambda: shell.fence("a"), "the lock is held")
    assert shell.run("lock", "break", "a", "--all", "--yes").returncode == 0
    assert holder.wait(60) == 79
    assert shell.written("one") == "ended"
    out, said = holder.communicate()
    facts = json.loads(out)
    assert (facts["lost"], facts["exit_code"]) == (True, 79)
    assert said.splitlines()[-1].startswith("concordant: 'a' (fence ")


def test_a_command_that_ignores_the_loss_is_killed(shell: Shell) -> None:
    script = "trap '' TERM; " + TELL + f"tell one $$; {LOOP}"
    arguments = ["--ttl", "1", "--grace", "0.3", "--", "sh", "-c", script]
    holder = shell.start("lock", "run", "a", *arguments)
    command = int(until(lambda: shell.written("one"), "the command runs"))
    shell.run("lock", "break", "a", "--all", "--yes")
    assert holder.wait(60) == 79
    assert not alive(command)


def test_with_warn_the_command_runs_on(shell: Shell) -> None:
    script = f"{AWAIT}; exit 5"
    arguments = ["--ttl", "1", "--on-lost", "warn", "--", "sh", "-c", script]
    holder = shell.start("lock", "run", "a", *arguments)
    until(lambda: shell.fence("a"), "the lock is held")
    shell.run("lock", "break", "a", "--all", "--yes")
    assert holder.stderr is not None
    for line in holder.stderr:
        if "runs on without the lock" in line:
            break
    (shell.folder / "stop").touch()
    assert holder.wait(60) == 5


def test_stopped_past_the_lease_the_command_is_ended(shell: Shell) -> None:
    script = TELL + "tell one $$; exec sleep 100"
    holder = shell.start("lock", "run", "a", "--ttl", "1", "--", "sh", "-c", script)
    command = int(until(lambda: shell.written("one"), "the command runs"))
    holder.send_signal(signal.SIGSTOP)
    until(lambda: not alive(command), "the warden ended the command, its holder still stopped")
    assert state(holder.pid) == "T"
    holder.send_signal(signal.SIGCONT)
    assert holder.wait(60) == 79
    assert "stands still; ending its command" in holder.communicate()[1]


def test_continued_past_the_lease_it_notices_by_itself(shell: Shell) -> None:
    script = TELL + f"trap 'tell two $$; exit 0' TERM; tell one $$; {LOOP}"
    holder = shell.start("lock", "run", "a", "--ttl", "1", "--", "sh", "-c", script)
    command = int(until(lambda: shell.written("one"), "the command runs"))
    (warden,) = set(children(holder.pid)) - {command}
    os.kill(warden, signal.SIGKILL)
    holder.send_signal(signal.SIGSTOP)
    until(lambda: shell.fence("a") == 0, "the lease is over")
    assert shell.written("two") == ""
    holder.send_signal(signal.SIGCONT)
    assert holder.wait(60) == 79
    assert shell.written("two") == str(command)


@pytest.mark.slow
def test_a_lease_is_renewed_far_past_its_ttl(shell: Shell) -> None:
    holder = shell.start("lock", "run", "a", "--ttl", "0.5", "--", "sleep", "100")
    fence = until(lambda: shell.fence("a"), "the lock is held")
    for _ in range(4):
        time.sleep(0.5)
        assert shell.fence("a") == fence
    holder.terminate()
    assert holder.wait(60) == 143


def test_the_default_store_is_the_users_own(shell: Shell, tmp_path: Path) -> None:
    del shell.environment["CONCORDANT_URL"]
    run(shell, "a", "--", "true", code=0)
    folder = tmp_path / "state" / "concordant"
    assert (folder / "locks.db").exists()
    assert folder.stat().st_mode & 0o777 == 0o700
