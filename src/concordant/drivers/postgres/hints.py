"""Hints by LISTEN on a connection of its own; a thread reads them, whatever the surface is."""

from __future__ import annotations

import os
import socket
import time
from typing import Final

import psycopg

from concordant.drivers.polling import Poll
from concordant.drivers.postgres.connections import BoundConnection
from concordant.drivers.postgres.errors import connection_error, translate
from concordant.drivers.postgres.lockwire import hint
from concordant.drivers.postgres.options import PostgresOptions
from concordant.errors import BackendUnavailable
from concordant.locking.names import is_client
from concordant.locking.operations import Hint

_PROBE_S: Final = 15.0


class PostgresHints:
    """The notifications for one client."""

    def __init__(self, options: PostgresOptions, client: str) -> None:
        assert is_client(client)
        self._options = options
        self._pid = os.getpid()
        try:
            self._connection = BoundConnection.connect(options.conninfo, autocommit=True)
        except psycopg.Error as error:
            raise connection_error(error, options.place) from None
        self._connection.reply_timeout_s = options.reply_timeout_s
        self._wake, self._woken = socket.socketpair()
        self._poll = Poll(self._connection.pgconn.socket, self._woken)
        self._arrived: list[Hint] = []
        self._connection.add_notify_handler(self._note)
        self._closed = False
        self._probe_s = time.monotonic() + _PROBE_S
        try:
            found = self._connection.execute("SELECT pg_backend_pid()").fetchone()
            # Behind a pooler the session that listens would be somebody else's the next moment.
            # Without hints, waiters keep their places and ask now and then.
            if found == (self._connection.pgconn.backend_pid,):
                self._connection.execute(f"LISTEN concordant_{client}")
        except psycopg.Error as error:
            self._connection.close()
            raise translate(error, options.place, sent=False) from error

    def _note(self, notification: psycopg.Notify) -> None:
        try:
            self._arrived.append(hint(notification.payload))
        except (ValueError, TypeError):
            return  # somebody else's message on our channel

    def get(self, timeout_s: float) -> list[Hint]:
        """Return the hints that have arrived; see HintStream."""
        end_s = time.monotonic() + timeout_s
        while not self._arrived and not self._closed:
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                break
            if self._poll.ready(left_s):
                self._receive()
        if self._closed:
            raise BackendUnavailable(f"{self._options.place}: the hint channel is closed")
        self._check_alive()
        arrived, self._arrived[:] = list(self._arrived), []
        return arrived

    def _receive(self) -> None:
        if self._closed:
            return
        try:
            pgconn = self._connection.pgconn
            pgconn.consume_input()
            while (notify := pgconn.notifies()) is not None:
                self._note(
                    psycopg.Notify(notify.relname.decode(), notify.extra.decode(), notify.be_pid)
                )
        except (psycopg.Error, OSError) as error:
            raise BackendUnavailable(
                f"{self._options.place}: the hint channel broke; open another"
            ) from error

    def _check_alive(self) -> None:
        """Ask now and then, since a peer that vanished without a word is never readable."""
        if time.monotonic() < self._probe_s:
            return
        self._probe_s = time.monotonic() + _PROBE_S
        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error as error:
            raise BackendUnavailable(
                f"{self._options.place}: the hint channel broke; open another"
            ) from error

    def close(self) -> None:
        """Stop listening, and wake a `get` that is under way."""
        if self._closed:
            return
        self._closed = True
        self._wake.send(b"x")
        # A forked child's copy must not say goodbye for its parent.
        if self._pid == os.getpid():
            self._connection.close()
