"""`concordant lock run` between its command's process group, signals, and a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.provision.command_line import (
    AWAIT,
    CONCORDANT,
    LOOP,
    TELL,
    Shell,
    alive,
    children,
    state,
    until,
)


def started(shell: Shell, script: str, *options: str) -> tuple[subprocess.Popen[str], int]:
    """Start a script that tells its pid into the file `one`; return both processes."""
    script = TELL + "tell one $$; " + script
    holder = shell.start("lock", "run", "a", *options, "--", "sh", "-c", script)
    return holder, int(until(lambda: shell.written("one"), "the command runs"))


# --- the process group --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT"])
def test_signals_go_to_the_whole_group(shell: Shell, name: str) -> None:
    number = signal.Signals[f"SIG{name}"]
    inner = f"{TELL} trap 'tell two inner; exit 0' {name}; tell three $$; {LOOP}"
    (shell.folder / "inner").write_text(inner)
    script = f"trap 'exit 5' {name}; sh inner"
    holder, _ = started(shell, script)
    until(lambda: shell.written("three"), "the command's own child runs")
    holder.send_signal(number)
    assert holder.wait(60) == 5
    assert shell.written("two") == "inner"
    assert shell.fence("a") == 0


def test_a_command_that_ignores_term_is_killed_after_the_grace(shell: Shell) -> None:
    holder, command = started(shell, f"trap '' TERM; tell two ready; {LOOP}", "--grace", "0.5")
    until(lambda: shell.written("two"), "it ignores TERM")
    holder.terminate()
    holder.terminate()
    assert holder.wait(60) == 128 + signal.SIGKILL
    assert not alive(command)


def test_a_stopped_command_can_still_be_ended(shell: Shell) -> None:
    holder, command = started(shell, LOOP)
    os.kill(command, signal.SIGSTOP)
    until(lambda: state(command) == "T", "it stands still")
    holder.terminate()
    assert holder.wait(60) == 143


def test_what_was_ignored_stays_ignored(shell: Shell) -> None:
    script = f"{TELL} tell one $$; {AWAIT}; exit 4"
    command = ["sh", "-c", 'trap "" HUP; exec "$0" "$@"', CONCORDANT, "lock", "run", "a", "--"]
    with subprocess.Popen(
        [*command, "sh", "-c", script], env=shell.environment, cwd=shell.folder
    ) as holder:
        until(lambda: shell.written("one"), "the command runs")
        holder.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert holder.poll() is None
        (shell.folder / "stop").touch()
        assert holder.wait(60) == 4


def test_the_lock_is_held_until_the_background_is_done(shell: Shell) -> None:
    script = f"({AWAIT}; tell two $$) & exit 6"
    holder, command = started(shell, script)
    until(lambda: not alive(command), "the command itself has ended")
    time.sleep(0.3)
    assert shell.fence("a")
    (shell.folder / "stop").touch()
    assert holder.wait(60) == 6
    assert shell.written("two")
    assert shell.fence("a") == 0


@pytest.mark.parametrize("trap", ["", "trap '' TERM;"])
def test_a_background_that_stays_is_ended_before_the_release(shell: Shell, trap: str) -> None:
    script = f"({trap} tell two ready; {LOOP}) & echo $! > pid; exit 6"
    holder, _ = started(shell, script, "--grace", "0.5")
    until(lambda: shell.written("two"), "the background runs")
    background = int((shell.folder / "pid").read_text())
    until(lambda: shell.fence("a") == 0, "the lock is given back")
    assert not alive(background)
    assert holder.wait(60) == 6
    assert "left processes behind" in holder.communicate()[1]


def test_only_the_group_is_ended(shell: Shell) -> None:
    script = "setsid sh -c 'echo $$ > pid; exec sleep 100' & until [ -s pid ]; do :; done; exit 6"
    holder, _ = started(shell, script)
    assert holder.wait(60) == 6
    daemon = int((shell.folder / "pid").read_text())
    assert alive(daemon)
    os.kill(daemon, signal.SIGKILL)


# --- job control --------------------------------------------------------------------------


def test_both_stop_and_go_on_together(shell: Shell) -> None:
    holder, command = started(shell, LOOP)
    holder.send_signal(signal.SIGTSTP)
    until(lambda: state(holder.pid) == "T", "it stands still")
    until(lambda: state(command) == "T", "so does its command")
    holder.send_signal(signal.SIGCONT)
    until(lambda: state(command) in ("S", "R"), "the command goes on")
    assert state(holder.pid) != "T"
    holder.terminate()
    assert holder.wait(60) == 143


class Terminal:
    """A terminal with an interactive shell in it."""

    def __init__(self, shell: Shell) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(shell.folder)
            environment = {**shell.environment, "PS1": "$ ", "ENV": ""}
            os.execvpe("sh", ["sh", "-i", "-m"], environment)
        self._shown = ""

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._fd, text.encode())

    def shows(self, text: str) -> None:
        """Wait until the terminal shows the text after what it was last seen to show."""
        until(lambda: text in self._read(), f"{text!r} after {self._shown!r}")
        self._shown = self._shown.partition(text)[2]

    def _read(self) -> str:
        while select.select([self._fd], [], [], 0)[0]:
            self._shown += os.read(self._fd, 4096).decode(errors="replace")
        return self._shown

    def close(self) -> None:
        """Hang up, and end the shell and what it runs."""
        for pid in children(self.pid):
            for each in [*children(pid), pid]:
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._fd)


@pytest.fixture
def terminal(shell: Shell) -> Iterator[Terminal]:
    terminal = Terminal(shell)
    yield terminal
    terminal.close()


def lock_run(command: str, options: str = "") -> str:
    return f"'{CONCORDANT}' lock run a {options} -- {command}; echo code-$?\n"


def test_the_command_reads_the_terminal(terminal: Terminal) -> None:
    terminal.type(lock_run("sh -c 'read word; echo got-$word; read word; exit 3'"))
    terminal.type("hello\n")
    terminal.shows("got-hello")
    terminal.type("\n")
    terminal.shows("code-3")
    # The shell has its terminal again.
    terminal.type("echo back-$((1 + 1))\n")
    terminal.shows("back-2")


def test_a_script_has_its_terminal_again(terminal: Terminal, shell: Shell) -> None:
    # Unlike an interactive shell, the script would not take it back by itself.
    script = f"'{CONCORDANT}' lock run a -- true; read word; echo got-$word"
    (shell.folder / "script").write_text(script)
    terminal.type("sh script\nhello\n")
    terminal.shows("got-hello")


def test_ctrl_c_is_the_commands(terminal: Terminal, shell: Shell) -> None:
    script = TELL + "trap 'exit 9' INT; tell one $$; " + LOOP
    (shell.folder / "script").write_text(script)
    terminal.type(lock_run("sh script"))
    until(lambda: shell.written("one"), "the command runs")
    terminal.type("\x03")
    terminal.shows("code-9")


def test_ctrl_c_while_waiting(terminal: Terminal, shell: Shell) -> None:
    holder = shell.start("lock", "run", "a", "--", "sleep", "600")
    until(lambda: shell.fence("a"), "the lock is held")
    terminal.type(lock_run("true"))
    until(lambda: shell.view("a").waiters, "it waits")
    terminal.type("\x03")
    until(lambda: not shell.view("a").waiters, "it has left the queue")
    assert holder.poll() is None


def test_ctrl_z_stops_both_and_fg_continues_both(terminal: Terminal, shell: Shell) -> None:
    (shell.folder / "script").write_text(TELL + "tell one $$; read word; echo got-$word")
    terminal.type(f"'{CONCORDANT}' lock run a -- sh script\n")
    command = int(until(lambda: shell.written("one"), "the command runs"))
    (holder,) = children(terminal.pid)
    terminal.type("\x1a")
    until(lambda: state(command) == "T" and state(holder) == "T", "both stand still")
    terminal.type("echo shell-$((1 + 1))\n")
    terminal.shows("shell-2")
    terminal.type("fg\n")
    until(lambda: state(command) == "S" and state(holder) == "S", "both go on")
    terminal.type("again\n")
    terminal.shows("got-again")
    until(lambda: shell.fence("a") == 0, "the lock is given back")


def test_stopped_too_long_it_does_not_go_on(terminal: Terminal, shell: Shell) -> None:
    (shell.folder / "script").write_text(TELL + "tell one $$; read word; tell two went-on")
    terminal.type(f"'{CONCORDANT}' lock run a --ttl 0.5 -- sh script\n")
    until(lambda: shell.written("one"), "the command runs")
    (holder,) = children(terminal.pid)
    terminal.type("\x1a")
    until(lambda: state(holder) == "T", "it stands still")
    until(lambda: shell.fence("a") == 0, "the lease is over")
    terminal.type("fg\n")
    terminal.shows("was lost while the command ran")
    terminal.type("echo code-$?\n")
    terminal.shows("code-79")
    assert shell.written("two") == ""


def test_in_the_background_of_a_terminal(terminal: Terminal, shell: Shell) -> None:
    (shell.folder / "script").write_text(TELL + "tell one $$; read word; echo got-$word")
    terminal.type(f"'{CONCORDANT}' lock run a -- sh script &\n")
    command = int(until(lambda: shell.written("one"), "the command runs"))
    (holder,) = children(terminal.pid)
    # It reads from a terminal that is not its own, so both stop, as any background job would.
    until(lambda: state(command) == "T" and state(holder) == "T", "both stand still")
    terminal.type("fg\n")
    until(lambda: state(command) == "S", "it has the terminal")
    terminal.type("now\n")
    terminal.shows("got-now")


def test_no_terminal_no_job_control(shell: Shell) -> None:
    holder, command = started(shell, LOOP)
    os.kill(command, signal.SIGSTOP)
    until(lambda: state(command) == "T", "somebody stopped it by hand")
    time.sleep(0.3)
    assert state(holder.pid) == "S"
    os.kill(command, signal.SIGCONT)
    holder.terminate()
    assert holder.wait(60) == 143
