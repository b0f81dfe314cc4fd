"""Plain connections to the stores of a bank, each statement committing by itself.

What their drivers raise when a store is away comes out as our own errors, which say what to do
next. Everything else comes out as it is: a broken rule of the tables is no outage.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from concordant.drivers.urls import file_path, mask, scheme_of
from concordant.errors import BackendUnavailable, ConcordantError, OutcomeUnknown, UsageError

_OURS: Final = frozenset({"reply_timeout_s", "lock_timeout_s", "wait_s"})
_REPLY_S: Final = 5


class Sql:
    """One dialect for both databases: statements are written with `?`.

    The connection is anybody's: sqlite3's or psycopg's, plain or a branch's.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.is_sqlite = isinstance(connection, sqlite3.Connection)

    @property
    def broken(self) -> bool:
        """Whether the connection is gone, so that only a new one helps."""
        return not self.is_sqlite and bool(self.connection.closed)

    def execute(self, sql: str, *values: object) -> Any:
        """Run one statement and return its cursor.

        Raises OutcomeUnknown if the connection broke, BackendUnavailable if the database could
        not do it now.
        """
        try:
            if self.is_sqlite:
                return self.connection.execute(sql, values)
            return self.connection.execute(sql.replace("?", "%s"), values)
        except Exception as error:
            meant = _meaning(error)
            if meant is None:
                raise
            raise meant from error

    def rows(self, sql: str, *values: object) -> list[Any]:
        """Return all rows."""
        return list(self.execute(sql, *values).fetchall())

    def value(self, sql: str, *values: object) -> Any:
        """Return the first column of the first row, or None."""
        row = self.execute(sql, *values).fetchone()
        return None if row is None else row[0]

    def create(self, sql: str) -> None:
        """Make a table unless it is there; {text}, {int} and {real} are its types."""
        types = (
            {"text": "TEXT", "int": "INTEGER", "real": "REAL"}
            if self.is_sqlite
            else {"text": 'TEXT COLLATE "C"', "int": "BIGINT", "real": "DOUBLE PRECISION"}
        )
        self.execute(sql.format(**types))

    def begin(self) -> None:
        """Begin a plain transaction."""
        self.execute("BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN")


def _meaning(error: Exception) -> ConcordantError | None:
    """Return our error for a database that is away or busy, None for anything else."""
    if isinstance(error, sqlite3.OperationalError):
        return BackendUnavailable(f"a SQLite file could not do it ({error}); try again")
    # Not imported for this: a bank on SQLite alone needs no extra.
    psycopg: Any = sys.modules.get("psycopg")
    if psycopg is None or not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return None
    # The server's own word that it did not do it comes with a state; a lost connection has
    # none, or one that says so.
    state = error.sqlstate or ""
    if not state or state.startswith(("57P", "08")):
        return OutcomeUnknown(f"a PostgreSQL connection broke ({_brief(error)}); ask again")
    return BackendUnavailable(f"PostgreSQL could not do it ({_brief(error)}); try again")


def is_collision(error: Exception) -> bool:
    """Tell whether a database says that a row is there already."""
    psycopg: Any = sys.modules.get("psycopg")
    return isinstance(error, sqlite3.IntegrityError) or (
        psycopg is not None and isinstance(error, psycopg.IntegrityError)
    )


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def connect(url: str) -> Any:
    """Return a plain connection in autocommit mode to a SQLite file or PostgreSQL database.

    Raises BackendUnavailable if there is none within 5 s.
    """
    scheme = scheme_of(url)
    if scheme == "sqlite":
        return _reached(url, lambda: _connect_sqlite(url))
    if scheme != "postgresql":
        raise UsageError(f"{mask(url)} is neither sqlite:// nor postgresql://")
    return _reached(url, lambda: _connect_postgres(url))


def _connect_sqlite(url: str) -> Any:
    return sqlite3.connect(
        file_path(url), isolation_level=None, timeout=30, check_same_thread=False
    )


def _connect_postgres(url: str) -> Any:
    import psycopg  # here, since a bank on SQLite alone needs no extra

    return psycopg.connect(plain_url(url), autocommit=True, connect_timeout=_REPLY_S)


def _reached(url: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:
        if _meaning(error) is None:
            raise
        raise BackendUnavailable(
            f"{mask(url)} cannot be reached ({_brief(error)}); try again"
        ) from error


def file_url(path: Path) -> str:
    """Return the URL of a SQLite file."""
    return f"sqlite://{quote(str(path))}"


def lasting_url(url: str) -> str:
    """Return the URL, a SQLite file's with its whole path: the next run may start elsewhere."""
    if scheme_of(url) != "sqlite":
        return url
    _, question, query = url.partition("?")
    return f"{file_url(Path(os.path.abspath(file_path(url))))}{question}{query}"


def plain_url(url: str) -> str:
    """Return the URL without the parameters that only concordant's drivers know."""
    parts = urlsplit(url)
    kept = [pair for pair in parse_qsl(parts.query) if pair[0] not in _OURS]
    base = url.partition("?")[0]
    return f"{base}?{urlencode(kept)}" if kept else base


def is_redis(url: str) -> bool:
    """Tell whether the URL is Redis's."""
    return scheme_of(url) in ("redis", "rediss")


class Redis:
    """What the bank uses of a Redis server, through a plain client."""

    def __init__(self, url: str) -> None:
        import redis

        # All parameters are our driver's own, but for the one that says whom to trust.
        parts = urlsplit(url)
        trust = [pair for pair in parse_qsl(parts.query) if pair[0] == "ca_file"]
        query = urlencode([("ssl_ca_certs", path) for _, path in trust])
        self._place = mask(url)
        self._lost = (redis.ConnectionError, redis.TimeoutError)
        self._client: Any = redis.Redis.from_url(
            urlunsplit(parts._replace(query=query)),
            decode_responses=True,
            socket_connect_timeout=_REPLY_S,
            socket_timeout=_REPLY_S,
        )

    def get(self, name: str) -> str | None:
        """Return a value; raises BackendUnavailable."""
        found: str | None = self._ask(BackendUnavailable, lambda: self._client.get(name))
        return found

    def set_if_absent(self, name: str, value: str, expiry_ms: int) -> bool:
        """Set a value if there is none, and tell whether; raises OutcomeUnknown."""
        return bool(
            self._ask(OutcomeUnknown, lambda: self._client.set(name, value, nx=True, px=expiry_ms))
        )

    def eval(self, script: str, key: str, *arguments: str) -> Any:
        """Run a script on one key; raises OutcomeUnknown."""
        return self._ask(OutcomeUnknown, lambda: self._client.eval(script, 1, key, *arguments))

    def _ask(self, meant: type[ConcordantError], request: Callable[[], Any]) -> Any:
        try:
            return request()
        except self._lost as error:
            what = f"{self._place} did not answer ({_brief(error)}); ask again"
            raise meant(what) from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
