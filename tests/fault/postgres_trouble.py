"""Trouble for one PostgreSQL server: frozen, restarted with other settings, sessions ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg

from tests.fault.proxy import WAIT_S
from tests.provision.command_line import children, state
from tests.provision.postgres import PostgresServer


class TroubledServer(PostgresServer):
    """A server of a test's own, with which it may do what it likes."""

    def restart_with(self, *settings: str) -> None:
        """Kill it and start it again with these settings instead of those it had."""
        self._settings = settings
        self.restart()

    def restart_as_standby(self) -> None:
        """End it in good order and start it as a standby, which takes no writes."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(WAIT_S)
        (self._data / "standby.signal").touch()
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all of its processes for a while."""
        assert self.process is not None
        # The first one first, so that it starts no more.
        self._signal(self.process.pid, signal.SIGSTOP)
        pids = [self.process.pid, *children(self.process.pid)]
        for pid in pids[1:]:
            self._signal(pid, signal.SIGSTOP)
        try:
            assert all(state(pid) in ("T", "Z", "") for pid in pids)
            yield
        finally:
            for pid in reversed(pids):
                self._signal(pid, signal.SIGCONT)

    def _signal(self, pid: int, number: int) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    @contextmanager
    def commits_held(self) -> Iterator[None]:
        """Let every commit wait for a standby that is not there, after it has been written."""
        self.ask(self.url("postgres"), "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        self.reload("synchronous_standby_names", "nobody")
        try:
            yield
        finally:
            self.ask(self.url("postgres"), "ALTER SYSTEM RESET synchronous_standby_names")
            self.reload("synchronous_standby_names", "")

    def reload(self, name: str, value: str) -> None:
        """Have the settings read anew, and return once every session has this one."""
        with closing(psycopg.connect(self.url("postgres"), autocommit=True)) as plain:
            plain.execute("SET synchronous_commit = local")
            plain.execute("SELECT pg_reload_conf()")
            until(lambda: _setting(plain, name) == value)
        # The others are told at the same time, and read it when they next do something.
        time.sleep(0.1)

    def ask(self, url: str, statement: str, *values: Any) -> list[Any]:
        """Run one statement as somebody else, who never waits for a standby."""
        with closing(psycopg.connect(url.partition("?")[0], autocommit=True)) as plain:
            plain.execute("SET synchronous_commit = local; SET lock_timeout = '3s'")
            cursor = plain.execute(statement, values or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def prepared(self, url: str) -> list[str]:
        """Return what is prepared in the database, oldest first."""
        query = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
        return [gid for [gid] in self.ask(url, f"{query} ORDER BY prepared")]

    def end_sessions(self, condition: str = "true") -> int:
        """End the sessions of concordant that fit, and return how many they were."""
        ended = self.ask(
            self.url("postgres"),
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE application_name = 'concordant' AND {condition}",
        )
        for pid, _ in ended:
            until(lambda pid=pid: not self._lives(pid))
        return len(ended)

    def waiting(self, condition: str) -> None:
        """Return once a session of concordant fits."""
        query = (
            f"SELECT 1 FROM pg_stat_activity WHERE application_name = 'concordant' AND {condition}"
        )
        until(lambda: self.ask(self.url("postgres"), query))

    def _lives(self, pid: int) -> bool:
        query = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
        return bool(self.ask(self.url("postgres"), query, pid))


def _setting(plain: psycopg.Connection[Any], name: str) -> str:
    ((value,),) = plain.execute("SELECT current_setting(%s)", (name,)).fetchall()
    return str(value)


def until(seen: Callable[[], Any]) -> None:
    """Return as soon as it is true; fail after a bound that only hangs reach."""
    end_s = time.monotonic() + WAIT_S
    while not seen():
        assert time.monotonic() < end_s
        time.sleep(0.01)


class Meanwhile:
    """A call in a thread, whose result or error is asked for later."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self._action = action
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._action()
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        """Return what the call returned, or raise what it raised."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "it hangs"
        if self._error is not None:
            raise self._error
        return self._result


_server: TroubledServer | None = None


def troubled() -> TroubledServer:
    """Return this process's server for trouble, started at the first call."""
    global _server
    if _server is None:
        _server = TroubledServer()
        _server.start()
    return _server
