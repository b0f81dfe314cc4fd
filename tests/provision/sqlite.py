"""The SQLite backend: a database file in the test's own folder."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

from concordant.drivers.capabilities import Fencing
from concordant.drivers.urls import file_path
from tests.provision.backend import Backend, Promises

_numbers = count()


def _fresh(tmp: Path) -> str:
    return f"sqlite://{tmp}/store-{next(_numbers)}.db"


def _fresh_participant(tmp: Path) -> str:
    # A test that waits for a turn in vain shall not wait for long.
    return f"{_fresh(tmp)}?wait_s=2"


class SqliteDialect:
    """SQLite's own SQL, on a connection of the standard library."""

    error = sqlite3.Error
    failure_is_final = False
    not_preparable = "CREATE TABLE made_inside (id TEXT PRIMARY KEY)"

    def sql(self, statement: str) -> str:
        """Return the statement as it is: SQLite writes parameters as ?."""
        return statement

    def outside(self, url: str, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        """Run one statement as the sqlite3 shell would."""
        with closing(sqlite3.connect(file_path(url), timeout=5, isolation_level=None)) as plain:
            return plain.execute(statement, params).fetchall()


SQLITE = Backend(
    name="sqlite",
    promises=Promises(
        fencing=Fencing.SAME_TRANSACTION,
        survives_restart=True,
        across_processes=True,
        across_hosts=False,
        detects_dead_waiters=True,
    ),
    lock_url=_fresh,
    log_url=_fresh,
    participant_url=_fresh_participant,
    barrier_url=_fresh,
    dialect=SqliteDialect(),
)
