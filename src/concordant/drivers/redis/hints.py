"""Hints by Redis' own publish and subscribe: a channel for each client."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from typing import Final

from redis.exceptions import RedisError

from concordant.drivers.redis.codec import decode_hint
from concordant.drivers.redis.errors import translate
from concordant.drivers.redis.link import connection_for
from concordant.drivers.redis.options import RedisOptions
from concordant.errors import BackendUnavailable
from concordant.locking.operations import Hint

# A channel that was silent for so long is asked whether it lives: a network that has forgotten
# the connection tells nobody, and every later hint would be lost.
_PING_S: Final = 10.0


class ChannelStream:
    """The hints of one client, on a connection of their own."""

    def __init__(self, options: RedisOptions, client: str) -> None:
        self._options = options
        self._pid = os.getpid()
        self._reading = threading.Lock()
        self._closed = False
        self._heard_s = time.monotonic()
        self._pinged = False
        self._wake, self._waker = socket.socketpair()
        self._connection = connection_for(options)
        try:
            self._connection.connect()
            channel = f"{options.prefix}hint:{client}"
            self._connection.send_command("SUBSCRIBE", channel, check_health=False)
            # From this confirmation on, whatever is published arrives here.
            self._connection.read_response(disable_decoding=True)
        except (RedisError, OSError) as error:
            self._end()
            raise translate(error, options.place, sent=False) from error
        except BaseException:
            self._end()
            raise

    def get(self, timeout_s: float) -> list[Hint]:
        until_s = time.monotonic() + timeout_s
        with self._reading:
            while True:
                try:
                    self._check_open()
                    hints = self._arrived()
                    left_s = until_s - time.monotonic()
                    if hints or left_s <= 0:
                        return hints
                    self._check_alive()
                    self._wait(min(left_s, _PING_S))
                except (RedisError, OSError) as error:
                    place = self._options.place
                    raise BackendUnavailable(f"{place}: the hint channel broke: {error}") from error

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

    def _arrived(self) -> list[Hint]:
        hints: list[Hint] = []
        while self._connection.can_read(timeout=0):
            kind, *rest = self._connection.read_response(disable_decoding=True)
            self._heard_s, self._pinged = time.monotonic(), False
            if kind == b"message" and (hint := decode_hint(rest[1])):
                hints.append(hint)
        return hints

    def _check_alive(self) -> None:
        silent_s = time.monotonic() - self._heard_s
        if self._pinged and silent_s > _PING_S + self._options.reply_timeout_s:
            raise BackendUnavailable(f"{self._options.place}: the hint channel fell silent")
        if not self._pinged and silent_s > _PING_S:
            self._connection.send_command("PING", check_health=False)
            self._pinged = True

    def _wait(self, timeout_s: float) -> None:
        poll = select.poll()
        poll.register(self._connection._sock, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        poll.poll(timeout_s * 1000)

    def _check_open(self) -> None:
        if self._closed:
            raise BackendUnavailable("the hint stream was closed; open another one")

    def _end(self) -> None:
        self._connection.disconnect()
        self._wake.close()
        self._waker.close()
