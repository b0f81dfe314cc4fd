"""The rows of `concordant_branch`: what is prepared here, and what is known to have committed."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable
from itertools import count
from typing import Final

from concordant.drivers.base import InDoubt
from concordant.drivers.sqlite import reservations
from concordant.drivers.sqlite.database import Schema
from concordant.drivers.sqlite.guard import GUARD_SQL

RESOURCE: Final = "participant.resource"

SCHEMA: Final = Schema(
    kind="participant",
    version=1,
    statements=(
        # `state` is prepared, committed, or aborted (a promise never to commit).
        "CREATE TABLE IF NOT EXISTS concordant_branch(branch TEXT PRIMARY KEY, state TEXT NOT NULL,"
        " created_us INTEGER NOT NULL, detail TEXT NOT NULL, redo TEXT) WITHOUT ROWID",
        *reservations.STATEMENTS,
        GUARD_SQL,
    ),
    ids={RESOURCE: lambda: secrets.token_hex(16)},
    exclusive=False,
)

# A coordinator may ask again about a branch for as long as its decision is unfinished.
EVIDENCE_KEPT_US: Final = 7 * 24 * 3600 * 1_000_000
# Every so many commits so many rows are looked at: four for each that is added, so that a
# round comes to its end, and no commit does much of that work.
PURGE_EVERY: Final = 64
PURGE_ROWS: Final = 256

INSERT: Final = "INSERT INTO concordant_branch VALUES (?, ?, ?, ?, ?)"


def find(connection: sqlite3.Connection, branch: str) -> tuple[str, str | None] | None:
    """Return the branch's state and redo, or None if nothing is known of it."""
    row: tuple[str, str | None] | None = connection.execute(
        "SELECT state, redo FROM concordant_branch WHERE branch = ?", (branch,)
    ).fetchone()
    return row


def mark_committed(connection: sqlite3.Connection, branch: str, now_us: int) -> None:
    """Turn the prepared branch into evidence that it has committed."""
    connection.execute(
        "UPDATE concordant_branch SET state = 'committed', created_us = ?, redo = NULL"
        " WHERE branch = ?",
        (now_us, branch),
    )


def remove(connection: sqlite3.Connection, branch: str) -> None:
    """Forget the branch."""
    connection.execute("DELETE FROM concordant_branch WHERE branch = ?", (branch,))


def prepared(connection: sqlite3.Connection, now_us: int) -> list[InDoubt]:
    """Return the prepared branches, oldest first."""
    # By way of the reservations, since every prepared branch has some, and the evidence of
    # a week can be a long table.
    rows: Iterable[tuple[str, int, str]] = connection.execute(
        "SELECT branch, created_us, detail FROM concordant_branch"
        " WHERE branch IN (SELECT branch FROM concordant_reservation) AND state = 'prepared'"
        " ORDER BY created_us, branch"
    )
    return [
        InDoubt(branch, max(0, now_us - created_us) / 1e6, detail)
        for branch, created_us, detail in rows
    ]


class Sweep:
    """Deletes evidence that nobody can need any more, a few rows now and then.

    It goes round the table in the order of the names, from where it last stopped.
    """

    def __init__(self) -> None:
        self._commits = count()
        self._after = ""

    def now_and_then(self, connection: sqlite3.Connection, now_us: int) -> None:
        """Look at some rows if it is time to, as part of the write under way."""
        if next(self._commits) % PURGE_EVERY:
            return
        rows = connection.execute(
            "SELECT branch, state <> 'prepared' AND created_us < ? FROM concordant_branch"
            " WHERE branch > ? ORDER BY branch LIMIT ?",
            (now_us - EVIDENCE_KEPT_US, self._after, PURGE_ROWS),
        ).fetchall()
        for branch, is_old in rows:
            if is_old:
                remove(connection, branch)
        self._after = rows[-1][0] if len(rows) == PURGE_ROWS else ""
