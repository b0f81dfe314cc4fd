"""The rows of a log that one batch is about, read before it and written back after it.

The model of the log works on rows one by one; a server is a round trip away. So what a batch
can touch is worked out first, read and locked at once, and what the model changed is written
at once. Listings are a batch of their own (see `segments`), so a snapshot never has to answer
for rows that it did not read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, LiteralString

from concordant.transactions.logmodel import LIMIT_MAX
from concordant.transactions.logrows import DecisionRow, OwnerRow, RecordRow
from concordant.transactions.operations import (
    Advance,
    BranchRef,
    Claim,
    CloseOwner,
    Create,
    Decide,
    Finish,
    Load,
    LogOperation,
    OpenOwner,
    OwnerStates,
    Purge,
    Query,
    RenewOwner,
    as_json,
)

Statement = tuple[LiteralString, Sequence[Any]]

_OWNER_COLUMNS: Final[LiteralString] = "owner, epoch, expires_us, note, changed_at_us"
_DECISION_COLUMNS: Final[LiteralString] = (
    "gid, outcome, owner, epoch, branches, state, evidence, created_at_us, changed_at_us"
)
_RECORD_COLUMNS: Final[LiteralString] = (
    "gid, kind, definition, payload, state, data, version, owner, epoch, due_us, evidence,"
    " created_at_us, changed_at_us"
)
_DUE: Final[LiteralString] = (
    "state IN ('running', 'aborting') AND due_us <= (extract(epoch FROM now()) * 1e6)::bigint"
)


def segments(batch: Sequence[LogOperation]) -> Iterator[list[LogOperation]]:
    """Yield the batch in parts: claims, queries and purges alone, all others together."""
    part: list[LogOperation] = []
    for operation in batch:
        if isinstance(operation, Claim | Query | Purge):
            if part:
                yield part
            part = []
            yield [operation]
        else:
            part.append(operation)
    if part:
        yield part


class Snapshot:
    """What was read of the three tables, and what has changed since; see LogRows."""

    def __init__(self, part: Sequence[LogOperation]) -> None:
        self._part = part
        self.log_id = ""
        self._owners: dict[str, OwnerRow] = {}
        self._decisions: dict[str, DecisionRow] = {}
        self._records: dict[str, RecordRow] = {}
        self._absent: set[str] = set()
        self._dirty: dict[tuple[str, str], OwnerRow | DecisionRow | RecordRow] = {}
        self._purge: tuple[int, int, int] | None = None
        # What changed later than this is kept, whatever the purge asks for.
        self.purge_until_us = 0

    # --- what to read ---------------------------------------------------------------------

    def reads(self) -> list[Statement]:
        """Return the statements that read owners, decisions and records, in that order."""
        match self._part[0]:
            case Query(unfinished, after, limit):
                return self._page(after, unfinished, min(limit, LIMIT_MAX))
            case Claim() as claim:
                return self._claim(claim)
            case Purge():
                return []
        gids = sorted({each.gid for each in self._part if isinstance(each, _WITH_GID)})
        decided = [each.gid for each in self._part if isinstance(each, Decide | Finish | Load)]
        recorded = [each.gid for each in self._part if isinstance(each, Create | Advance | Load)]
        written = any(not isinstance(each, Load | OwnerStates) for each in self._part)
        return [
            *self._owners_read(),
            *_rows_read("decision", [gid for gid in gids if gid in decided], written),
            *_rows_read("record", [gid for gid in gids if gid in recorded], written),
        ]

    def _owners_read(self) -> list[Statement]:
        leased = {
            each.owner
            for each in self._part
            if isinstance(each, OpenOwner | RenewOwner | CloseOwner)
        }
        commits = {
            each.owner
            for each in self._part
            if isinstance(each, Create) or (isinstance(each, Decide) and each.outcome == "commit")
        } - leased
        looked = {each.owner for each in self._part if isinstance(each, Advance)}
        for each in self._part:
            if isinstance(each, OwnerStates):
                looked |= {owner for owner, _ in each.owners}
        select: LiteralString = f"SELECT {_OWNER_COLUMNS} FROM concordant_log_owner"
        locked: LiteralString = f"{select} WHERE owner = ANY(%s) ORDER BY owner FOR UPDATE"
        # These wait for a renewal under way, or would be told that the epoch is over.
        shared: LiteralString = f"{select} WHERE owner = ANY(%s) ORDER BY owner FOR SHARE"
        seen: LiteralString = f"{select} WHERE owner = ANY(%s)"
        wanted = ((locked, leased), (shared, commits), (seen, looked - leased - commits))
        return [(statement, (sorted(owners),)) for statement, owners in wanted if owners]

    def _page(self, after: str, unfinished: bool, limit: int) -> list[Statement]:
        decisions: LiteralString = "AND state <> 'finished'" if unfinished else ""
        records: LiteralString = "AND state NOT IN ('committed', 'aborted')" if unfinished else ""
        return [
            (
                f"SELECT {_DECISION_COLUMNS} FROM concordant_log_decision"
                f" WHERE gid > %s {decisions} ORDER BY gid LIMIT %s",
                (after, limit),
            ),
            (
                f"SELECT {_RECORD_COLUMNS} FROM concordant_log_record"
                f" WHERE gid > %s {records} ORDER BY gid LIMIT %s",
                (after, limit),
            ),
        ]

    def _claim(self, claim: Claim) -> list[Statement]:
        # Rows that another recoverer has locked are its own by the time it is done.
        which: LiteralString = "gid = ANY(%s)" if claim.gids else _DUE
        condition: LiteralString = "AND definition = ANY(%s)" if claim.definitions else ""
        values: list[Any] = [list(claim.gids)] if claim.gids else []
        if claim.definitions:
            values.append(list(claim.definitions))
        return [
            (
                f"SELECT {_RECORD_COLUMNS} FROM concordant_log_record WHERE {which} {condition}"
                " ORDER BY gid FOR UPDATE SKIP LOCKED",
                values,
            ),
            # After the records: an owner that has one is then seen to live, however new it is.
            (f"SELECT {_OWNER_COLUMNS} FROM concordant_log_owner", ()),
        ]

    def fill(self, rows: Iterable[Sequence[Any]]) -> None:
        """Take rows in that were read; how many columns they have tells their table."""
        for row in rows:
            if len(row) == 5:
                self._owners[row[0]] = OwnerRow(*row)
            elif len(row) == 9:
                decision = _decision(row)
                self._decisions[decision.gid] = decision
            else:
                self._records[row[0]] = RecordRow(*row)

    # --- what the model asks --------------------------------------------------------------

    def owner(self, owner: str) -> OwnerRow | None:
        """Return an owner's row."""
        return self._owners.get(owner)

    def put_owner(self, row: OwnerRow) -> None:
        """Insert or replace an owner's row."""
        self._note("owner", row.owner, row.owner in self._owners, row)
        self._owners[row.owner] = row

    def decision(self, gid: str) -> DecisionRow | None:
        """Return a decision."""
        return self._decisions.get(gid)

    def put_decision(self, row: DecisionRow) -> None:
        """Insert or replace a decision."""
        self._note("decision", row.gid, row.gid in self._decisions, row)
        self._decisions[row.gid] = row

    def record(self, gid: str) -> RecordRow | None:
        """Return a saga or message."""
        return self._records.get(gid)

    def put_record(self, row: RecordRow) -> None:
        """Insert or replace a saga or message."""
        self._note("record", row.gid, row.gid in self._records, row)
        self._records[row.gid] = row

    def _note(
        self, table: str, key: str, known: bool, row: OwnerRow | DecisionRow | RecordRow
    ) -> None:
        if not known:
            self._absent.add(f"{table}/{key}")
        self._dirty[table, key] = row

    def due_records(self, now_us: int) -> list[RecordRow]:
        """Return the records that the claim has locked, which are due."""
        return sorted(self._records.values(), key=lambda row: row.gid)

    def list_decisions(self, after: str, unfinished: bool, limit: int) -> list[DecisionRow]:
        """Return the page that was read."""
        return sorted(self._decisions.values(), key=lambda row: row.gid)

    def list_records(self, after: str, unfinished: bool, limit: int) -> list[RecordRow]:
        """Return the page that was read."""
        return sorted(self._records.values(), key=lambda row: row.gid)

    def purge(self, before_us: int, owners_us: int, now_us: int) -> int:
        """Note what to delete; the writing statements count it."""
        self._purge = (min(before_us, self.purge_until_us), owners_us, now_us)
        return 0

    # --- what to write --------------------------------------------------------------------

    @property
    def purges(self) -> bool:
        """Whether the writing statements delete, and their counts are the answer."""
        return self._purge is not None

    def writes(self) -> list[tuple[Statement, bool]]:
        """Return statements, each with whether it must change exactly one row.

        A row that was absent is inserted only if it still is: otherwise somebody was faster,
        and the whole part has to be done again.
        """
        if self._purge is not None:
            return [(statement, False) for statement in _purges(*self._purge)]
        return [
            (_write(table, row, f"{table}/{key}" in self._absent), True)
            for (table, key), row in sorted(self._dirty.items(), key=lambda each: each[0])
        ]


_WITH_GID: Final = (Decide, Finish, Create, Advance, Load)


def _rows_read(table: str, gids: list[str], written: bool) -> list[Statement]:
    if not gids:
        return []
    lock: LiteralString = " FOR UPDATE" if written else ""
    select: LiteralString = (
        f"SELECT {_DECISION_COLUMNS} FROM concordant_log_decision"
        if table == "decision"
        else f"SELECT {_RECORD_COLUMNS} FROM concordant_log_record"
    )
    return [(f"{select} WHERE gid = ANY(%s) ORDER BY gid{lock}", (gids,))]


def _decision(row: Sequence[Any]) -> DecisionRow:
    gid, outcome, owner, epoch, branches, *rest = row
    refs = tuple(BranchRef(*ref) for ref in json.loads(branches))
    return DecisionRow(gid, outcome, owner, epoch, refs, *rest)


def refs_text(refs: Iterable[BranchRef]) -> str:
    """Return branch references as the table keeps them."""
    return json.dumps([as_json(ref) for ref in refs])


def _write(table: str, row: OwnerRow | DecisionRow | RecordRow, absent: bool) -> Statement:
    columns: LiteralString
    values: tuple[Any, ...]
    match row:
        case OwnerRow():
            name, key, columns = _OWNER
            values = (row.owner, row.epoch, row.expires_us, row.note, row.changed_at_us)
        case DecisionRow():
            name, key, columns = _DECISION
            values = (row.gid, row.outcome, row.owner, row.epoch, refs_text(row.branches))
            values += (row.state, row.evidence, row.created_at_us, row.changed_at_us)
        case RecordRow():
            name, key, columns = _RECORD
            values = (row.gid, row.kind, row.definition, row.payload, row.state, row.data)
            values += (row.version, row.owner, row.epoch, row.due_us, row.evidence)
            values += (row.created_at_us, row.changed_at_us)
    marks: LiteralString = ", ".join(["%s"] * len(values))
    if absent:
        return f"INSERT INTO {name} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING", values
    return f"UPDATE {name} SET ({columns}) = ({marks}) WHERE {key} = %s", (*values, values[0])


_Table = tuple[LiteralString, LiteralString, LiteralString]
_OWNER: Final[_Table] = ("concordant_log_owner", "owner", _OWNER_COLUMNS)
_DECISION: Final[_Table] = ("concordant_log_decision", "gid", _DECISION_COLUMNS)
_RECORD: Final[_Table] = ("concordant_log_record", "gid", _RECORD_COLUMNS)


def _purges(before_us: int, owners_us: int, now_us: int) -> list[Statement]:
    return [
        (
            "DELETE FROM concordant_log_decision WHERE state = 'finished' AND changed_at_us <= %s",
            (before_us,),
        ),
        (
            "DELETE FROM concordant_log_record"
            " WHERE state IN ('committed', 'aborted') AND changed_at_us <= %s",
            (before_us,),
        ),
        (
            "DELETE FROM concordant_log_owner o WHERE expires_us <= %s AND changed_at_us <= %s"
            " AND NOT EXISTS (SELECT FROM concordant_log_decision d WHERE d.owner = o.owner)"
            " AND NOT EXISTS (SELECT FROM concordant_log_record r WHERE r.owner = o.owner)",
            (now_us, owners_us),
        ),
    ]
