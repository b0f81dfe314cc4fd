"""The PostgreSQL backend: one private server a test process, a database of its own a URL."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from concordant.drivers.capabilities import Fencing
from tests.provision.backend import Backend, Promises

_BIN = Path("/usr/lib/postgresql/15/bin")
_numbers = count()


class PostgresServer:
    """A server on a port and in a directory of its own, which dies with this process."""

    def __init__(self, *settings: str) -> None:
        if not (_BIN / "postgres").exists():
            raise RuntimeError(f"{_BIN}/postgres is missing: run `make servers`")
        self._settings = settings
        self._home = Path(tempfile.mkdtemp(prefix="concordant-pg-"))
        self._data = self._home / "data"
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        # The server refuses to run as root, and must reach its directory as somebody else.
        self._home.chmod(0o755)
        if os.getuid() == 0:
            shutil.chown(self._home, "postgres", "postgres")
        self._run("initdb", "-A", "trust", "-U", "postgres", "--no-sync", "-D", str(self._data))
        atexit.register(self.close)

    def _as_user(self) -> list[str]:
        if os.getuid() != 0:
            return ["setpriv", "--pdeathsig", "KILL"]
        user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
        return ["setpriv", *user, "--pdeathsig", "KILL"]

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user(), str(_BIN / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = (
            "max_prepared_transactions=500",
            # kill -9 keeps what the kernel has, and that is the fault that tests cause.
            "fsync=off",
            "max_connections=120",
            "shared_buffers=32MB",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self._home}",
            *self._settings,
        )
        options = [part for setting in settings for part in ("-c", setting)]
        command = [str(_BIN / "postgres"), "-D", str(self._data), "-p", str(self.port), *options]
        log = (self._home / "log").open("ab")
        self.process = subprocess.Popen(
            [*self._as_user(), *command], stdout=log, stderr=log, cwd="/", process_group=0
        )
        end_s = time.monotonic() + 20
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > end_s:
                    raise RuntimeError((self._home / "log").read_text()) from None
                time.sleep(0.02)

    def kill(self) -> None:
        """Kill all processes of the server at once, as a power cut does."""
        assert self.process is not None
        # Its children notice that the postmaster is gone, and end; the last ones may take
        # a moment to leave the shared memory.
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        """Kill the server and start it again on the same data."""
        self.kill()
        end_s = time.monotonic() + 10
        while True:
            try:
                self.start()
                return
            except RuntimeError:
                if time.monotonic() > end_s:
                    raise
                time.sleep(0.1)

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def fresh(self) -> str:
        """Return the URL of a new, empty database."""
        name = f"t{os.getpid()}_{next(_numbers)}"
        with closing(psycopg.connect(self.url("postgres"), autocommit=True)) as plain:
            plain.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
        return self.url(name)

    def fresh_schema(self) -> str:
        """Return the URL of a new, empty schema: cheaper than a database of its own."""
        name = f"t{os.getpid()}_{next(_numbers)}"
        with closing(psycopg.connect(self.url("postgres"), autocommit=True)) as plain:
            plain.execute(f"CREATE SCHEMA {name}")
        return f"{self.url('postgres')}?options=-csearch_path%3D{name}"

    def close(self) -> None:
        """End the server and delete its data."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        shutil.rmtree(self._home, ignore_errors=True)


def _free_port() -> int:
    """Return a port that nobody listens on, outside of what the kernel hands out."""
    while True:
        port = random.SystemRandom().randrange(20000, 30000)
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


_server: PostgresServer | None = None


def server() -> PostgresServer:
    """Return this process's server, started at the first call."""
    global _server
    if _server is None:
        _server = PostgresServer()
        _server.start()
    return _server


def _fresh(tmp: Path) -> str:
    return server().fresh_schema()


def _fresh_participant(tmp: Path) -> str:
    # A test that waits for a locked row in vain shall not wait for long.
    return f"{server().fresh()}?lock_timeout_s=2"


class PostgresDialect:
    """PostgreSQL's own SQL, on a connection of psycopg."""

    error = psycopg.Error
    failure_is_final = True
    not_preparable = "CREATE TEMPORARY TABLE made_inside (id text PRIMARY KEY)"

    def sql(self, statement: str) -> str:
        """Return the statement with psycopg's marks."""
        return statement.replace("?", "%s")

    def outside(self, url: str, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        """Run one statement as psql would."""
        plain_url = url.partition("?")[0]
        with closing(psycopg.connect(plain_url, autocommit=True)) as plain:
            plain.execute("SET lock_timeout = '3s'")
            cursor = plain.execute(self.sql(statement), params)
            return cursor.fetchall() if cursor.description else []


POSTGRES = Backend(
    name="postgresql",
    promises=Promises(
        fencing=Fencing.SAME_TRANSACTION,
        survives_restart=True,
        across_processes=True,
        across_hosts=True,
        detects_dead_waiters=False,
    ),
    lock_url=_fresh,
    log_url=_fresh,
    participant_url=_fresh_participant,
    barrier_url=lambda tmp: f"{server().fresh()}?lock_timeout_s=2",
    dialect=PostgresDialect(),
    restart=lambda: server().restart(),
    needs_server=True,
)
