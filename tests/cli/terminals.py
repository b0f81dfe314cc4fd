"""The parts of pages that need more than one terminal, or a kill: driven as a reader would."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

from tests.cli.pages import Block
from tests.cli.stage import Stage, commands_of
from tests.provision.command_line import alive, children, until

Driver = Callable[[Stage, list[Block]], None]

# Stands in for the user's own migration: it says under which fence it runs, and takes its time.
_ALEMBIC: Final = """#!/bin/sh
echo "$CONCORDANT_FENCE" >> migrations
sleep 1 && echo done >> migrations
[ "$(grep -c done migrations)" -gt 1 ] || sleep 600
"""


def fences(text: str) -> list[int]:
    """Return the fences in what commands have printed."""
    return [int(found) for found in re.findall(r"\b\d{16}\b", text)]


def take_over(stage: Stage, blocks: list[Block]) -> None:
    """Two terminals run the same migration; the first is killed, the second takes over."""
    alembic = stage.tools / "alembic"
    alembic.write_text(_ALEMBIC)
    alembic.chmod(0o755)
    notes = stage.folder / "migrations"
    (first, _), (second, _) = commands_of(blocks[0])
    one = stage.start(first, "one")
    until(notes.exists, "the first migration")
    command = until(lambda: _commands(one.pid), "the first command's process")
    two = stage.start(second, "two")
    until(lambda: _waiting(stage) == 1, "the second one waiting")
    assert len(fences(notes.read_text())) == 1
    one.kill()
    assert two.wait(40) == 0, stage.printed("two")
    before, after = fences(notes.read_text())
    assert before < after
    assert not any(map(alive, command))
    for block in blocks[1:]:
        stage.console(block)


def _commands(pid: int) -> list[int]:
    return [each for child in children(pid) for each in (child, *children(child))]


def _waiting(stage: Stage) -> int:
    done = stage.output("concordant lock ls -o json")
    return sum(len(lock["waiters"]) for lock in done["locks"])


def contend(stage: Stage, blocks: list[Block]) -> None:
    """The tutorial's two processes: run, wait, look, kill, take over."""
    run, wait, look, kill, takeover = blocks
    ((command, shown_first),) = commands_of(run)
    ((again, _),) = commands_of(wait)
    one = stage.start(command, "one")
    until(lambda: fences(stage.printed("one")), "the first one's fence")
    stage.compare(str(run), shown_first, stage.printed("one"))
    two = stage.start(again, "two")
    until(lambda: _waiting(stage) == 1, "the second one waiting")
    stage.console(look)
    ((order, _),) = commands_of(kill)
    assert re.fullmatch(r"kill -9 \d+", order), kill
    one.kill()
    ((_, shown),) = commands_of(takeover)
    until(lambda: fences(stage.printed("two")), "the second one's fence")
    stage.compare(str(takeover), shown, stage.printed("two"))
    assert fences(stage.printed("one"))[0] < fences(stage.printed("two"))[0]
    two.terminate()
    two.wait(30)


def survive_a_kill(stage: Stage, blocks: list[Block]) -> None:
    """Transfers for ever, killed again and again: whatever was in doubt, the sum is right."""
    transfers, run, kill, look, check, checked = blocks
    stage.save(transfers)
    stage.save(check)
    ((order, _),) = commands_of(kill)
    assert re.fullmatch(r"kill -9 \d+", order), kill
    ((command, _),) = commands_of(run)
    for round_number in range(3):
        process = stage.start(command, "transfers")
        until(lambda: _made(stage) > 20, "transfers under way")
        time.sleep(0.01 * round_number)
        assert process.poll() is None, stage.printed("transfers")
        process.kill()
        process.wait(30)
        stage.console(look)
        stage.console(checked)
        (stage.folder / "count").unlink()


def _made(stage: Stage) -> int:
    try:
        return int((stage.folder / "count").read_text() or 0)
    except (FileNotFoundError, ValueError):
        return 0


DRIVERS: Final[dict[tuple[str, str], Driver]] = {
    ("README.md", "A lock in two terminals"): take_over,
}
