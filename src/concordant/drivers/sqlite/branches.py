"""The rows of `concordant_branch`: what is prepared here, and what is known to have committed."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable
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
        "CREATE TABLE IF NOT EXISTS concordant_branch(branch TEXT PRIMARY KEY,"
        " state TEXT NOT NULL, created_us INTEGER NOT NULL, detail TEXT NOT NULL, redo TEXT)",
        *reservations.STATEMENTS,
        GUARD_SQL,
    ),
    ids={RESOURCE: lambda: secrets.token_hex(16)},
    exclusive=False,
)

# A coordinator may ask again about a branch for as long as its decision is unfinished.
EVIDENCE_KEPT_US: Final = 7 * 24 * 3600 * 1_000_000
# Every so many commits so many rows are looked at: the table shrinks faster than it grows,
# and no commit does much of that work.
PURGE_EVERY: Final = 64
PURGE_ROWS: Final = 256

INSERT: Final = "INSERT INTO concordant_branch VALUES (?, ?, ?, ?, ?)"

_PURGE: Final = """
DELETE FROM concordant_branch WHERE rowid IN (
    SELECT id FROM (
        SELECT rowid AS id, state, created_us FROM concordant_branch ORDER BY rowid LIMIT ?
    ) WHERE state <> 'prepared' AND created_us < ?
)
"""


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
        " ORDER BY created_us, rowid"
    )
    return [
        InDoubt(branch, max(0, now_us - created_us) / 1e6, detail)
        for branch, created_us, detail in rows
    ]


def purge(connection: sqlite3.Connection, now_us: int) -> None:
    """Delete a few of the oldest rows whose evidence nobody can need any more."""
    connection.execute(_PURGE, (PURGE_ROWS, now_us - EVIDENCE_KEPT_US))
