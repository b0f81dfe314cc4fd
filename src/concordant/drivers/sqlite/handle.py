"""The connection that a branch gives to its user: a connection in all but the power to end it."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, NoReturn

from concordant.drivers.sqlite.policy import Policy
from concordant.drivers.sqlite.reservations import RESERVED, holders
from concordant.errors import TransactionAborted, UsageError

ENDS: Final = "the transaction ends the branch by itself, at the end of its body"
_OWN: Final = "do it on a connection of your own, outside of the branch"


class BranchCursor(sqlite3.Cursor):
    """A cursor that stops working when its branch is over."""

    def __init__(self, handle: BranchConnection, raw: sqlite3.Connection) -> None:
        super().__init__(raw)
        self._handle = handle

    @property
    def connection(self) -> BranchConnection:
        """The branch's connection."""
        return self._handle

    def execute(self, sql: str, parameters: Any = (), /) -> BranchCursor:
        """Run one statement; see sqlite3.

        Raises UsageError for what no branch can do, TransactionAborted once SQLite has
        rolled the branch back by itself, and sqlite3.IntegrityError starting with
        ``concordant: reserved by`` and the branch's name for a row in doubt.
        """
        self._handle.live()
        try:
            super().execute(sql, parameters)
        except sqlite3.DatabaseError as error:
            self._handle.explain(error)
            raise
        return self

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> BranchCursor:
        """Run one statement for each set of parameters; errors as of `execute`."""
        self._handle.live()
        try:
            super().executemany(sql, parameters)
        except sqlite3.DatabaseError as error:
            self._handle.explain(error)
            raise
        return self

    def executescript(self, sql_script: str, /) -> NoReturn:
        """Refuse: sqlite3 would commit before the script."""
        raise UsageError("executescript() would commit: execute the statements one by one")


class BranchConnection(sqlite3.Connection):
    """What a branch lets its user do with the database; a new one for every branch.

    It stands before the real connection, which is kept and serves later branches, so a
    reference that outlives its branch can do no harm. As an sqlite3.Connection of its own it
    is an empty database in memory, which nothing ever reaches.
    """

    def __init__(self) -> None:
        super().__init__(":memory:", check_same_thread=False)
        self._raw: sqlite3.Connection | None = None
        self._policy: Policy | None = None
        self._cursors: weakref.WeakSet[BranchCursor] = weakref.WeakSet()
        self._row_factory: Any = None

    # --- what works -----------------------------------------------------------------------

    def cursor(self, factory: None = None) -> BranchCursor:  # type: ignore[override]
        """Return a new cursor; cursor classes of one's own are not taken."""
        if factory is not None:
            raise UsageError("a branch has cursors of its own: call cursor() without a factory")
        cursor = BranchCursor(self, self.live())
        if self._row_factory is not None:
            cursor.row_factory = self._row_factory
        self._cursors.add(cursor)
        return cursor

    def execute(self, sql: str, parameters: Any = (), /) -> BranchCursor:
        """Run one statement on a new cursor; errors as of BranchCursor.execute."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> BranchCursor:
        """Run one statement for each set of parameters, on a new cursor."""
        return self.cursor().executemany(sql, parameters)

    def interrupt(self) -> None:
        """Stop the statement that another thread runs; see sqlite3."""
        self.live().interrupt()

    @property
    def in_transaction(self) -> bool:
        """True until the branch is over."""
        return self._raw is not None and self._raw.in_transaction

    @property
    def total_changes(self) -> int:
        """SQLite's own count, the branch's notes of what it changes included."""
        return self.live().total_changes

    @property
    def isolation_level(self) -> Literal["DEFERRED", "EXCLUSIVE", "IMMEDIATE"] | None:
        """None: no statement starts or ends a transaction."""
        return None

    @isolation_level.setter
    def isolation_level(self, value: Literal["DEFERRED", "EXCLUSIVE", "IMMEDIATE"] | None) -> None:
        raise UsageError(f"setting isolation_level would commit: {ENDS}")

    @property
    def row_factory(self) -> Any:
        """What makes rows of tuples, for the cursors made from now on."""
        return self._row_factory

    @row_factory.setter
    def row_factory(self, factory: Any) -> None:
        self._row_factory = factory

    @property
    def text_factory(self) -> Any:
        """What makes Python values of TEXT, str by default."""
        return self.live().text_factory

    @text_factory.setter
    def text_factory(self, factory: Any) -> None:
        self.live().text_factory = factory

    # --- what does not --------------------------------------------------------------------

    def __enter__(self) -> NoReturn:
        raise UsageError(f"`with connection` would commit: {ENDS}")

    def __call__(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise UsageError("a branch compiles no statements on its own; use execute()")

    def executescript(self, sql_script: str, /) -> NoReturn:
        """Refuse: sqlite3 would commit before the script."""
        raise UsageError("executescript() would commit: execute the statements one by one")

    # --- for the branch -------------------------------------------------------------------

    def live(self) -> sqlite3.Connection:
        """Return the real connection, if the branch is still under way on it."""
        raw = self._raw
        if raw is None:
            raise UsageError("this branch is over; begin another transaction")
        if not raw.in_transaction:
            raise TransactionAborted(
                "SQLite rolled this branch back after an error in it; leave it, and retry"
            )
        return raw

    def explain(self, error: sqlite3.DatabaseError) -> None:
        """Raise what the error means inside a branch, if that is more than it says."""
        refused = self._policy.refused if self._policy is not None else ""
        if refused and str(error).startswith("not authorized"):
            raise UsageError(f"a branch cannot do {refused}; {_OWN}") from error
        if not str(error).startswith(RESERVED):
            return
        table = str(error).removeprefix(RESERVED)
        branches = " or ".join(holders(self.live(), table)) or "a branch that has just ended"
        clear = sqlite3.IntegrityError(f"concordant: reserved by {branches}, a row of {table}")
        clear.sqlite_errorcode = error.sqlite_errorcode
        clear.sqlite_errorname = error.sqlite_errorname
        raise clear from error

    def attach(self, raw: sqlite3.Connection, policy: Policy) -> None:
        """Stand before this connection, in whose transaction the branch has begun."""
        self._raw, self._policy = raw, policy

    def detach(self) -> None:
        """Let go of the real connection, with no statement of the user's left open on it."""
        raw, self._raw = self._raw, None
        for cursor in list(self._cursors):
            cursor.close()
        if raw is not None:
            raw.text_factory = str

    def forget(self) -> None:
        """Let go in a forked child, without touching the parent's connection."""
        self._raw = None

    def dispose(self) -> None:
        """Close what this connection itself has open."""
        super().close()


def _refuse(name: str, advice: str) -> Callable[..., NoReturn]:
    def refuse(_self: BranchConnection, *_args: object, **_kwargs: object) -> NoReturn:
        raise UsageError(f"no {name}() on a branch's connection: {advice}")

    refuse.__name__ = name
    refuse.__doc__ = "Refuse, since this would end the branch or outlive it."
    return refuse


for _name in ("commit", "rollback", "close"):
    setattr(BranchConnection, _name, _refuse(_name, ENDS))
# Functions and the like would stay on the real connection; whoever recovers would lack them.
for _name in [
    "backup",
    "blobopen",
    "create_aggregate",
    "create_collation",
    "create_function",
    "create_window_function",
    "deserialize",
    "enable_load_extension",
    "getconfig",
    "getlimit",
    "iterdump",
    "load_extension",
    "serialize",
    "set_authorizer",
    "set_progress_handler",
    "set_trace_callback",
    "setconfig",
    "setlimit",
]:
    setattr(BranchConnection, _name, _refuse(_name, _OWN))
