"""Hints inside one process: a queue per listener."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from concordant.errors import BackendUnavailable
from concordant.locking.names import client_of
from concordant.locking.operations import Hint

# A listener that never reads must not fill the memory; a lost hint costs latency alone.
_QUEUED_MAX: Final = 4096


class Stream:
    """The hints of one client as one listener receives them."""

    def __init__(self, on_close: Callable[[Stream], None]) -> None:
        self._on_close = on_close
        self._arrived = threading.Condition()
        self._hints: deque[Hint] = deque(maxlen=_QUEUED_MAX)
        self._closed = False

    def get(self, timeout_s: float) -> list[Hint]:
        with self._arrived:
            self._arrived.wait_for(lambda: self._hints or self._closed, timeout_s)
            if self._closed:
                raise BackendUnavailable("the hint stream was closed; open another one")
            hints = list(self._hints)
            self._hints.clear()
            return hints

    def close(self) -> None:
        with self._arrived:
            self._closed = True
            self._arrived.notify_all()
        self._on_close(self)

    def put(self, hint: Hint) -> None:
        """Queue a hint and wake the reader."""
        with self._arrived:
            self._hints.append(hint)
            self._arrived.notify_all()


class Streams:
    """Who listens, by client."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._by_client: dict[str, list[Stream]] = {}

    def open(self, client: str) -> Stream:
        """Return a new stream that receives every later hint of the client."""

        def remove(stream: Stream) -> None:
            with self._mutex:
                streams = self._by_client.get(client, [])
                if stream in streams:
                    streams.remove(stream)
                if not streams:
                    self._by_client.pop(client, None)

        stream = Stream(remove)
        with self._mutex:
            self._by_client.setdefault(client, []).append(stream)
        return stream

    def send(self, hints: Sequence[Hint]) -> None:
        """Hand each hint to every stream of its owner's client."""
        for hint in hints:
            with self._mutex:
                streams = list(self._by_client.get(client_of(hint.owner), ()))
            for stream in streams:
                stream.put(hint)
