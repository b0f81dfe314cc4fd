"""Registers behind the guards that users have: one for each driver that ships a guard.

Each does what `register.Register` does, with the driver's own guard in the same transaction,
or script, as what it protects. A server that goes away leaves the outcome unknown, and the
next use connects anew.
"""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from concordant.drivers.postgres import guard as postgres_guard
from concordant.drivers.redis.guard import GuardedScript
from concordant.drivers.redis.options import RedisOptions
from concordant.drivers.sqlite import guard as sqlite_guard
from concordant.errors import OutcomeUnknown, StaleFence
from tests.history.events import Event
from tests.history.register import Stale

FIELDS = ("seq", "lock", "op", "what", "owner", "fence", "value", "base")


@dataclass(frozen=True, slots=True)
class _Fenced:
    """What a guard wants to see of a lease."""

    owner: str
    fence: int


class GuardedRegister(ABC):
    """What all of them share; `meanwhile` is called between the guard and what it protects."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def read(self, lock: str, owner: str, fence: int, op: str) -> int:
        """Return the value, and shut all older holders out; raises Stale."""
        return self._use_or_say(lock, _Fenced(owner, fence), op, None, None)

    def write(self, lock: str, owner: str, fence: int, op: str, value: int, base: int) -> int:
        """Set the value, which was made from `base`; raises Stale and changes nothing then."""
        return self._use_or_say(lock, _Fenced(owner, fence), op, value, base)

    def _use_or_say(
        self, lock: str, lease: _Fenced, op: str, value: int | None, base: int | None
    ) -> int:
        try:
            return self._use(lock, lease, op, value, base)
        except StaleFence as error:
            raise Stale(str(error)) from error

    @abstractmethod
    def _use(
        self, lock: str, lease: _Fenced, op: str, value: int | None, base: int | None
    ) -> int: ...

    @abstractmethod
    def journal(self) -> list[Event]:
        """Return all that was accepted, in order."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""


# --- SQL ----------------------------------------------------------------------------------


class _SqlRegister(GuardedRegister):
    """The guard first, then the write, then the read and the journal, in one transaction."""

    module: Any
    mark = "?"

    def __init__(self) -> None:
        self._db: Any = None

    @abstractmethod
    def _connect(self) -> Any:
        """Return a connection that commits by itself, with the tables made."""

    def _connected(self) -> Any:
        self._db = self._db or self._connect()
        return self._db

    def _run(self, statement: str, *values: Any) -> list[Any]:
        cursor = self._connected().execute(statement.replace("?", self.mark), values)
        return list(cursor.fetchall()) if cursor.description else []

    def _use(self, lock: str, lease: _Fenced, op: str, value: int | None, base: int | None) -> int:
        self._run("BEGIN")
        try:
            self.module.guard(self._db, lock, lease)
            self.meanwhile()
            self._run("INSERT INTO register VALUES (?, 0) ON CONFLICT DO NOTHING", lock)
            if value is not None:
                self._run("UPDATE register SET value = ? WHERE lock = ?", value, lock)
            [[now]] = self._run("SELECT value FROM register WHERE lock = ?", lock)
            entry = (lock, op, "read" if value is None else "write", *_two(lease), now, base)
            names = ", ".join(FIELDS[1:])
            self._run(f"INSERT INTO journal ({names}) VALUES (?, ?, ?, ?, ?, ?, ?)", *entry)
        except BaseException:
            self._run("ROLLBACK")
            raise
        self._run("COMMIT")
        return int(now)

    def journal(self) -> list[Event]:
        """Return all that was accepted, in order."""
        rows = self._run(f"SELECT {', '.join(FIELDS)} FROM journal ORDER BY seq")
        return [{"kind": "journal", **dict(zip(FIELDS, row, strict=True))} for row in rows]

    def close(self) -> None:
        """Close the connection."""
        if self._db is not None:
            self._db.close()
            self._db = None


def _two(lease: _Fenced) -> tuple[str, int]:
    return lease.owner, lease.fence


class SqliteRegister(_SqlRegister):
    """In a SQLite file."""

    module = sqlite_guard

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        sqlite_guard.ensure_guard(db)
        db.execute("CREATE TABLE IF NOT EXISTS register (lock TEXT PRIMARY KEY, value INTEGER)")
        db.execute(
            "CREATE TABLE IF NOT EXISTS journal (seq INTEGER PRIMARY KEY AUTOINCREMENT,"
            " lock TEXT, op TEXT UNIQUE, what TEXT, owner TEXT, fence INTEGER, value INTEGER,"
            " base INTEGER)"
        )
        return db


class PostgresRegister(_SqlRegister):
    """In a PostgreSQL database."""

    module = postgres_guard
    mark = "%s"

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def _connect(self) -> psycopg.Connection[Any]:
        # Whoever is stopped in the midst of it keeps the others waiting, but not for ever.
        db = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
        db.execute("SET lock_timeout = '5s'")
        with db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(1)")
            postgres_guard.ensure_guard(db)
            db.execute(
                "CREATE TABLE IF NOT EXISTS register (lock text PRIMARY KEY, value bigint);"
                "CREATE TABLE IF NOT EXISTS journal (seq bigserial PRIMARY KEY, lock text,"
                " op text UNIQUE, what text, owner text, fence bigint, value bigint, base bigint)"
            )
        return db

    def _use(self, lock: str, lease: _Fenced, op: str, value: int | None, base: int | None) -> int:
        try:
            return super()._use(lock, lease, op, value, base)
        except psycopg.OperationalError as error:
            self.close()
            raise OutcomeUnknown(f"register: {error}") from error


# --- Redis --------------------------------------------------------------------------------

_USE = """
local now = ARGV[2] ~= '' and ARGV[2] or redis.call('GET', KEYS[1]) or '0'
redis.call('SET', KEYS[1], now)
redis.call('RPUSH', KEYS[2], '[' .. now .. ',' .. ARGV[1] .. ']')
return tonumber(now)
"""


class RedisRegister(GuardedRegister):
    """On a Redis server; the guard and what it protects are one script."""

    def __init__(self, url: str) -> None:
        options = RedisOptions.parse(url)
        self._prefix = f"{options.prefix}register:"
        self._script = GuardedScript(_USE, self._prefix)
        # What it says that it has not done it shall not have done: nothing is sent twice.
        self._client = redis.Redis(
            host=options.host,
            port=options.port,
            db=options.db,
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
        )

    def _use(self, lock: str, lease: _Fenced, op: str, value: int | None, base: int | None) -> int:
        entry = (lock, op, "read" if value is None else "write", *_two(lease), base)
        keys = (f"{self._prefix}value:{lock}", f"{self._prefix}journal")
        given = (json.dumps(entry), "" if value is None else value)
        try:
            return int(self._script.run(self._client, lock, lease, keys, given))
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise OutcomeUnknown(f"register: {error}") from error

    def journal(self) -> list[Event]:
        """Return all that was accepted, in order."""
        found: list[Event] = []
        for seq, text in enumerate(self._client.lrange(f"{self._prefix}journal", 0, -1), 1):
            value, (lock, op, what, owner, fence, base) = json.loads(text)
            entry = (seq, lock, op, what, owner, fence, value, base)
            found.append({"kind": "journal", **dict(zip(FIELDS, entry, strict=True))})
        return found

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def guarded(url: str, folder: Path) -> GuardedRegister:
    """Return a register behind the guard of the driver whose locks stand at the URL."""
    scheme = url.partition(":")[0]
    if scheme == "redis":
        return RedisRegister(url)
    if scheme == "postgresql":
        return PostgresRegister(url)
    assert scheme == "sqlite", url
    return SqliteRegister(folder / "guarded.db")


def journal_of(url: str, folder: Path) -> list[Event]:
    """Return all that the register at the URL has accepted."""
    with closing(guarded(url, folder)) as register:
        return register.journal()
