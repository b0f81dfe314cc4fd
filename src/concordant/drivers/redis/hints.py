"""Hints by Redis' own publish and subscribe: a channel for each client."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from redis.exceptions import RedisError

from concordant.drivers.polling import Poll
from concordant.drivers.redis.codec import decode_hint
from concordant.drivers.redis.errors import translate
from concordant.drivers.redis.link import connection_for
from concordant.drivers.redis.options import RedisOptions
from concordant.drivers.redis.wire import messages_in
from concordant.errors import BackendUnavailable
from concordant.locking.operations import Hint

# A channel that was silent for so long is asked whether it lives: a network that has forgotten
# the connection tells nobody, and every later hint would be lost.
_PING_S: Final = 10.0
_CHUNK: Final = 65536
_ONE: Final = b"*3\r\n$7\r\nmessage\r\n$"


class ChannelStream:
    """The hints of one client, on a connection of their own."""

    def __init__(self, options: RedisOptions, client: str) -> None:
        self._options = options
        self._pid = os.getpid()
        self._reading = threading.Lock()
        self._closed = False
        self._heard_s = time.monotonic()
        self._pinged = False
        self._unread = b""
        self._wake, self._waker = socket.socketpair()
        self._connection = connection_for(options)
        try:
            self._connection.connect()
            channel = f"{options.prefix}hint:{client}"
            self._connection.send_command("SUBSCRIBE", channel, check_health=False)
            # From this confirmation on, whatever is published arrives here.
            self._connection.read_response(disable_decoding=True)
            self._early = self._take_over()
        except (RedisError, OSError) as error:
            self._end()
            raise translate(error, options.place, sent=False) from error
        except BaseException:
            self._end()
            raise

    def get(self, timeout_s: float) -> list[Hint]:
        until_s = time.monotonic() + timeout_s
        with self._reading:
            hints, self._early = self._early, []
            while not hints:
                self._check_open()
                left_s = max(0.0, until_s - time.monotonic())
                try:
                    self._check_alive()
                    if self._wait(min(left_s, _PING_S)):
                        hints = self._arrived()
                except (RedisError, OSError) as error:
                    place = self._options.place
                    raise BackendUnavailable(f"{place}: the hint channel broke: {error}") from error
                if not left_s:
                    break
            return hints

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._pid == os.getpid():
            self._waker.send(b"x")
            with self._reading:
                self._end()
        else:
            # A forked child's copy: whoever reads is in the parent.
            self._end()

    def _take_over(self) -> list[Hint]:
        """Read the socket from now on, after what redis-py has read of it."""
        early: list[Any] = []
        while self._connection.can_read(timeout=0):
            early.append(self._connection.read_response(disable_decoding=True))
        self._socket = self._connection._sock
        self._socket.settimeout(0)
        self._poll = Poll(self._socket, self._wake)
        return self._hints(early)

    def _arrived(self) -> list[Hint]:
        try:
            data = self._socket.recv(_CHUNK)
            if not data:
                raise ConnectionResetError("the server has closed it")
            while isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
                data += self._socket.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return []  # what TLS says to itself, and is not all there
        self._heard_s, self._pinged = time.monotonic(), False
        parts = data.split(b"\r\n")
        if len(parts) == 8 and data.startswith(_ONE) and not (self._unread or parts[7]):
            # What it nearly always is: one message, in which no line ends.
            hint = decode_hint(parts[6])
            return [hint] if hint else []
        messages, self._unread = messages_in(self._unread + data)
        return self._hints(messages)

    def _hints(self, messages: Sequence[Any]) -> list[Hint]:
        hints: list[Hint] = []
        for message in messages:
            if isinstance(message, RedisError):
                raise message
            if message[0] == b"message" and (hint := decode_hint(message[2])):
                hints.append(hint)
        return hints

    def _check_alive(self) -> None:
        silent_s = time.monotonic() - self._heard_s
        if self._pinged and silent_s > _PING_S + self._options.reply_timeout_s:
            raise BackendUnavailable(f"{self._options.place}: the hint channel fell silent")
        if not self._pinged and silent_s > _PING_S:
            self._connection.send_command("PING", check_health=False)
            self._pinged = True

    def _wait(self, timeout_s: float) -> bool:
        """Wait until there is something to be read, and tell whether there is."""
        return self._socket.fileno() in self._poll.ready(timeout_s)

    def _check_open(self) -> None:
        if self._closed:
            raise BackendUnavailable("the hint stream was closed; open another one")

    def _end(self) -> None:
        self._connection.disconnect()
        self._wake.close()
        self._waker.close()
