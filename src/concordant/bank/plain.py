"""Plain connections to the stores of a bank, each statement committing by itself."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from concordant.drivers.urls import file_path, mask, scheme_of
from concordant.errors import UsageError

_OURS: Final = frozenset({"reply_timeout_s", "lock_timeout_s", "wait_s"})


class Sql:
    """One dialect for both databases: statements are written with `?`.

    The connection is anybody's: sqlite3's or psycopg's, plain or a branch's.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.is_sqlite = isinstance(connection, sqlite3.Connection)

    def execute(self, sql: str, *values: object) -> Any:
        """Run one statement and return its cursor."""
        return self.connection.execute(sql if self.is_sqlite else sql.replace("?", "%s"), values)

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


def connect(url: str) -> Any:
    """Return a plain connection in autocommit mode to a SQLite file or PostgreSQL database."""
    scheme = scheme_of(url)
    if scheme == "sqlite":
        return sqlite3.connect(
            file_path(url), isolation_level=None, timeout=30, check_same_thread=False
        )
    if scheme != "postgresql":
        raise UsageError(f"{mask(url)} is neither sqlite:// nor postgresql://")
    import psycopg  # here, since a bank on SQLite alone needs no extra

    return psycopg.connect(plain_url(url), autocommit=True, connect_timeout=5)


def file_url(path: Path) -> str:
    """Return the URL of a SQLite file."""
    return f"sqlite://{quote(str(path))}"


def plain_url(url: str) -> str:
    """Return the URL without the parameters that only concordant's drivers know."""
    parts = urlsplit(url)
    kept = [pair for pair in parse_qsl(parts.query) if pair[0] not in _OURS]
    base = url.partition("?")[0]
    return f"{base}?{urlencode(kept)}" if kept else base


class Redis(Protocol):
    """What the bank uses of a Redis client."""

    def get(self, name: str) -> Any:
        """Return a value."""
        ...

    def set(self, name: str, value: str, *, nx: bool, px: int | None) -> Any:
        """Set a value if it is absent."""
        ...

    def eval(self, script: str, numkeys: int, *keys_and_args: str) -> Any:
        """Run a script."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def is_redis(url: str) -> bool:
    """Tell whether the URL is Redis's."""
    return scheme_of(url) in ("redis", "rediss")


def redis_client(url: str) -> Redis:
    """Return a plain client of a Redis server."""
    import redis  # here, since a bank on SQLite alone needs no extra

    # All parameters are our driver's own, but for the one that says whom to trust.
    parts = urlsplit(url)
    trust = [pair for pair in parse_qsl(parts.query) if pair[0] == "ca_file"]
    query = urlencode([("ssl_ca_certs", path) for _, path in trust])
    plain = urlunsplit(parts._replace(query=query))
    client: Redis = redis.Redis.from_url(plain, decode_responses=True)
    return client
