"""The tables of a transaction log, as the rows that its model works on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from concordant.drivers.sqlite.database import get_meta
from concordant.errors import BackendUnavailable
from concordant.transactions.logrows import DecisionRow, LogMoment, OwnerRow, RecordRow
from concordant.transactions.operations import BranchRef, Decide, as_json

# Columns stand in the order of the row classes; `boot` says from which boot a time counts.
LOG_TABLES: Final = (
    """CREATE TABLE owners(
        owner TEXT PRIMARY KEY,
        epoch INTEGER NOT NULL,
        expires_us INTEGER NOT NULL,
        note TEXT NOT NULL,
        changed_at_us INTEGER NOT NULL,
        boot TEXT NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE decisions(
        gid TEXT PRIMARY KEY,
        outcome TEXT NOT NULL CHECK (outcome IN ('commit', 'abort')),
        owner TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        branches TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('deciding', 'finished', 'heuristic')),
        evidence TEXT NOT NULL,
        created_at_us INTEGER NOT NULL,
        changed_at_us INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX decisions_unfinished ON decisions(gid) WHERE state <> 'finished'",
    """CREATE TABLE records(
        gid TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        definition TEXT NOT NULL,
        payload TEXT NOT NULL,
        state TEXT NOT NULL
            CHECK (state IN ('running', 'aborting', 'committed', 'aborted', 'stuck')),
        data TEXT NOT NULL,
        version INTEGER NOT NULL,
        owner TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        due_us INTEGER NOT NULL,
        evidence TEXT NOT NULL,
        created_at_us INTEGER NOT NULL,
        changed_at_us INTEGER NOT NULL,
        boot TEXT NOT NULL
    )""",
    "CREATE INDEX records_unfinished ON records(gid) WHERE state NOT IN ('committed', 'aborted')",
)

_PURGE_OWNERS: Final = """
    DELETE FROM owners
    WHERE (boot <> :boot OR expires_us <= :now_us) AND changed_at_us <= :owners_us
      AND owner NOT IN (SELECT owner FROM decisions)
      AND owner NOT IN (SELECT owner FROM records)
"""


# A commit is inserted only while the epoch of its owner runs. The one, the many: most batches
# are one decision, which is cheaper without JSON.
_INSERT: Final = """
    INSERT INTO decisions
    SELECT {0}, {1}, {2}, {3}, {4}, 'deciding', '', ?1, ?1
    {5} WHERE {1} = 'abort' OR EXISTS (
        SELECT 1 FROM owners WHERE owner = {2} AND epoch = {3} AND boot = ?2 AND expires_us > ?3
    )
    ON CONFLICT (gid) DO NOTHING RETURNING gid
"""
_INSERT_ONE: Final = _INSERT.format("?4", "?5", "?6", "?7", "?8", "")
_INSERT_MANY: Final = _INSERT.format(*[f"value ->> {i}" for i in range(5)], "FROM json_each(?4)")
_FINISH: Final = """
    UPDATE decisions SET state = 'finished', changed_at_us = ?
    WHERE gid {} AND state = 'deciding'
"""
_FINISH_ONE: Final = _FINISH.format("= ?")
_FINISH_MANY: Final = _FINISH.format("IN (SELECT value FROM json_each(?))")


def _refs_text(refs: Sequence[BranchRef]) -> str:
    return json.dumps([as_json(ref) for ref in refs])


class SqliteRows:
    """The rows as one transaction sees them; see LogRows for the contracts."""

    def __init__(self, connection: sqlite3.Connection, boot: str) -> None:
        self._connection = connection
        self._boot = boot

    @property
    def log_id(self) -> str:
        found = get_meta(self._connection, "log.id")
        if found is None:
            raise BackendUnavailable("the log has lost its id; restore the file from a backup")
        return found

    def owner(self, owner: str) -> OwnerRow | None:
        row = self._one("SELECT * FROM owners WHERE owner = ?", owner)
        if row is None:
            return None
        owner, epoch, expires_us, note, changed_at_us, boot = row
        lease_us = expires_us if boot == self._boot else 0
        return OwnerRow(owner, epoch, lease_us, note, changed_at_us)

    def put_owner(self, row: OwnerRow) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO owners VALUES (?, ?, ?, ?, ?, ?)",
            (row.owner, row.epoch, row.expires_us, row.note, row.changed_at_us, self._boot),
        )

    def decision(self, gid: str) -> DecisionRow | None:
        row = self._one("SELECT * FROM decisions WHERE gid = ?", gid)
        return None if row is None else _decision(row)

    def put_decision(self, row: DecisionRow) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.gid,
                row.outcome,
                row.owner,
                row.epoch,
                _refs_text(row.branches),
                row.state,
                row.evidence,
                row.created_at_us,
                row.changed_at_us,
            ),
        )

    def insert_decisions(self, decides: Sequence[Decide], moment: LogMoment) -> set[str]:
        """Insert each decision that may be, unless its gid has one; return the gids."""
        values = [
            [each.gid, each.outcome, each.owner, each.epoch, _refs_text(each.branches)]
            for each in decides
        ]
        given = (moment.wall_us, self._boot, moment.now_us)
        match values:
            case []:
                return set()
            case [one]:
                inserted = self._connection.execute(_INSERT_ONE, (*given, *one))
            case _:
                inserted = self._connection.execute(_INSERT_MANY, (*given, json.dumps(values)))
        return {row[0] for row in inserted}

    def finish_decisions(self, gids: Sequence[str], wall_us: int) -> None:
        """Mark decisions as obeyed, but for those that are heuristic."""
        match gids:
            case []:
                return
            case [gid]:
                self._connection.execute(_FINISH_ONE, (wall_us, gid))
            case _:
                self._connection.execute(_FINISH_MANY, (wall_us, json.dumps(gids)))

    def record(self, gid: str) -> RecordRow | None:
        row = self._one("SELECT * FROM records WHERE gid = ?", gid)
        return None if row is None else self._record(row)

    def put_record(self, row: RecordRow) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.gid,
                row.kind,
                row.definition,
                row.payload,
                row.state,
                row.data,
                row.version,
                row.owner,
                row.epoch,
                row.due_us,
                row.evidence,
                row.created_at_us,
                row.changed_at_us,
                self._boot,
            ),
        )

    def due_records(self, now_us: int) -> Iterator[RecordRow]:
        rows = self._connection.execute(
            "SELECT * FROM records WHERE state NOT IN ('committed', 'aborted')"
            " AND state <> 'stuck' AND (due_us <= ? OR boot <> ?) ORDER BY gid",
            (now_us, self._boot),
        )
        return (self._record(row) for row in rows)

    def list_decisions(self, after: str, unfinished: bool, limit: int) -> list[DecisionRow]:
        condition = "AND state <> 'finished'" if unfinished else ""
        return [_decision(row) for row in self._page("decisions", condition, after, limit)]

    def list_records(self, after: str, unfinished: bool, limit: int) -> list[RecordRow]:
        condition = "AND state NOT IN ('committed', 'aborted')" if unfinished else ""
        return [self._record(row) for row in self._page("records", condition, after, limit)]

    def purge(self, before_us: int, owners_us: int, now_us: int) -> int:
        count = self._connection.execute(
            "DELETE FROM decisions WHERE state = 'finished' AND changed_at_us <= ?", (before_us,)
        ).rowcount
        count += self._connection.execute(
            "DELETE FROM records WHERE state IN ('committed', 'aborted') AND changed_at_us <= ?",
            (before_us,),
        ).rowcount
        self._connection.execute(
            _PURGE_OWNERS, {"boot": self._boot, "now_us": now_us, "owners_us": owners_us}
        )
        return count

    def _one(self, statement: str, key: str) -> Any:
        return self._connection.execute(statement, (key,)).fetchone()

    def _page(self, table: str, condition: str, after: str, limit: int) -> sqlite3.Cursor:
        return self._connection.execute(
            f"SELECT * FROM {table} WHERE gid > ? {condition} ORDER BY gid LIMIT ?",
            (after, limit),
        )

    def _record(self, row: Any) -> RecordRow:
        *columns, boot = row
        found = RecordRow(*columns)
        if boot == self._boot:
            return found
        # It was to wait on a clock that has started anew: it is due.
        return replace(found, due_us=0)


def _decision(row: Any) -> DecisionRow:
    gid, outcome, owner, epoch, branches, *rest = row
    refs = tuple(BranchRef(*ref) for ref in json.loads(branches))
    return DecisionRow(gid, outcome, owner, epoch, refs, *rest)
