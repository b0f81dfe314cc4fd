"""Branches on SQLite files, and the plain connections that know nothing of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from concordant.clock import SYSTEM_CLOCK, Clock
from concordant.drivers.base import Resolution, Vote
from concordant.drivers.sqlite.branch import SqliteBranch
from concordant.drivers.sqlite.manager import SqliteParticipant
from concordant.transactions.names import BranchId
from tests.contract.parties import new_branch


class File:
    """One database file: the participant that speaks for it, and plain access to it."""

    def __init__(
        self, path: Path, schema: str = "", clock: Clock = SYSTEM_CLOCK, wait_s: float = 5
    ) -> None:
        self.path = path
        with self.plain() as connection:
            connection.executescript(schema)
        self.url = f"sqlite://{path}?wait_s={wait_s}"
        self.participant = SqliteParticipant(self.url, clock)

    @contextmanager
    def plain(self, timeout_s: float = 5) -> Iterator[sqlite3.Connection]:
        """Open the file as any program would."""
        with closing(
            sqlite3.connect(self.path, timeout=timeout_s, isolation_level=None)
        ) as connection:
            yield connection

    def rows(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        """Return what everybody can read (or change by one plain statement)."""
        with self.plain() as connection:
            return connection.execute(query, params).fetchall()

    def begin(self, name: BranchId | None = None) -> SqliteBranch:
        """Begin a branch."""
        return self.participant.begin(name or new_branch())

    def vote(self, *statements: str, name: BranchId | None = None) -> Vote:
        """Run the statements in a branch and return its vote."""
        branch = self.begin(name)
        for statement in statements:
            branch.connection.execute(statement)
        return branch.prepare()

    def prepared(self, *statements: str) -> str:
        """Run the statements in a branch, prepare it, and return its name."""
        name = new_branch()
        vote = self.vote(*statements, name=name)
        assert vote.kind == "prepared", vote
        return str(name)

    def resolve(self, name: str, commit: bool = True) -> Resolution:
        """Resolve the branch by a participant of its own, as a recoverer would."""
        recoverer = SqliteParticipant(self.url)
        with closing(recoverer):
            return recoverer.resolve(name, commit)

    def done(self, *statements: str) -> None:
        """Run the statements in a branch, and commit it in two phases."""
        assert self.resolve(self.prepared(*statements)) == "done"

    def in_doubt(self) -> list[str]:
        """Return the names of the prepared branches."""
        return [found.branch for found in self.participant.in_doubt()]
