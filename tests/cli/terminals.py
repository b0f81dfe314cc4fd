"""The parts of pages that need more than one terminal, or a kill: driven as a reader would."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from typing import Any, Final

from tests.cli.pages import Block
from tests.cli.stage import Stage, commands_of
from tests.provision.command_line import alive, children, until

Driver = Callable[[Stage, list[Block]], None]

# Stands in for the user's own migration: it says under which fence it runs, and the first takes
# longer than anybody waits here.
_ALEMBIC: Final = """#!/bin/sh
echo "fence $CONCORDANT_FENCE" >> migrations
[ "$(wc -l < migrations)" -gt 1 ] || sleep 600
echo done >> migrations
"""


def fences(text: str) -> list[int]:
    """Return the fences in what commands have printed."""
    return [int(found) for found in re.findall(r"\b\d{16}\b", text)]


def waiting(stage: Stage) -> int:
    """Return how many wait for locks in the state directory's file."""
    done = stage.run("concordant lock ls -o json")
    return sum(len(lock["waiters"]) for lock in json.loads(done)["locks"])


def kill(stage: Stage, block: Block, process: subprocess.Popen[Any]) -> None:
    """Do what the block says to the process, whatever number it has on the page."""
    ((order, _),) = commands_of(block)
    assert re.fullmatch(r"kill -9 \d+", order), block
    stage.run(re.sub(r"\d+$", str(process.pid), order))
    process.wait(30)


def take_over(stage: Stage, blocks: list[Block]) -> None:
    """Two terminals run the same migration; the first is killed, the second takes over."""
    (block,) = blocks
    (first, _), (second, _) = commands_of(block)
    alembic = stage.tools / "alembic"
    alembic.write_text(_ALEMBIC)
    alembic.chmod(0o755)
    notes = stage.folder / "migrations"
    one = stage.start(first, "one")
    until(notes.exists, "the first migration")
    migration = [
        pid for child in children(one.pid) for pid in (child, *children(child)) if alive(pid)
    ]
    assert migration
    two = stage.start(second, "two")
    until(lambda: waiting(stage) == 1, "the second one waiting")
    assert len(fences(notes.read_text())) == 1
    one.kill()
    assert two.wait(45) == 0, stage.printed("two")
    before, after = fences(notes.read_text())
    assert before < after
    assert notes.read_text().endswith("done\n")
    until(lambda: not any(map(alive, migration)), "the end of what the first one had started")


def contend(stage: Stage, blocks: list[Block]) -> None:
    """Run, wait, look, kill, take over."""
    run, wait, look, order, takeover = blocks
    ((first, shown_first),) = commands_of(run)
    ((second, _),) = commands_of(wait)
    ((again, shown_second),) = commands_of(takeover)
    assert again == second
    one = stage.start(first, "one")
    until(lambda: fences(stage.printed("one")), "the first one's fence")
    stage.compare(str(run), shown_first, stage.printed("one"))
    two = stage.start(second, "two")
    until(lambda: waiting(stage) == 1, "the second one waiting")
    stage.console(look)
    kill(stage, order, one)
    until(lambda: fences(stage.printed("two")), "the second one's fence")
    stage.compare(str(takeover), shown_second, stage.printed("two"))
    assert fences(stage.printed("one")) < fences(stage.printed("two"))
    two.terminate()
    two.wait(30)


def survive_a_kill(stage: Stage, blocks: list[Block]) -> None:
    """Transfers for ever, killed again and again: the sum is right after each."""
    transfers, run, order, look, check, checked = blocks
    stage.save(transfers)
    stage.save(check)
    ((command, shown),) = commands_of(run)
    for number in range(3):
        process = stage.start(command, "transfers")
        until(lambda: stage.printed("transfers").count("\n") > 2, "transfers under way")
        time.sleep(0.003 * number)  # kills at different places
        kill(stage, order, process)
        stage.compare(str(run), shown, stage.printed("transfers"))
        stage.console(look)
        stage.console(checked)


# What gunicorn does with its configuration: it forks, and calls the hooks in the worker.
_PRE_FORK: Final = """
import os, runpy
hooks = runpy.run_path("gunicorn.conf.py")
import clients
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        hooks["post_fork"](None, None)
        lease = clients.client().lock("request").acquire(timeout_s=20)
        hooks["worker_exit"](None, None)  # the lease is still held
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""


def pre_fork(stage: Stage, blocks: list[Block]) -> None:
    """Two workers, one after the other: the second gets the lock that the first left held."""
    (block,) = blocks
    stage.save(block)
    (stage.folder / "server.py").write_text(_PRE_FORK)
    stage.run("python server.py")


# By page and heading: all blocks under that heading are the driver's.
DRIVERS: Final[dict[tuple[str, str], Driver]] = {
    ("README.md", "A lock in two terminals"): take_over,
    ("docs/how-to/run-a-migration-once.md", "On the command line"): take_over,
    ("docs/how-to/use-it-with-fork.md", "gunicorn"): pre_fork,
    ("docs/tutorial/first-five-minutes.md", "Two processes, one lock"): contend,
    ("docs/tutorial/first-five-minutes.md", "A transaction that survives a kill"): survive_a_kill,
}
