"""Hints inside one process: a queue per listener."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Final

from concordant.errors import BackendUnavailable
from concordant.locking.names import client_of
from concordant.locking.operations import Hint

# A listener that never reads must not fill the memory; a lost hint costs latency alone.
_QUEUED_MAX: Final = 4096


class Stream:
    """The hints of one client as one listener receives them.

    Its queue is the one of the standard library that an interrupt in the main thread cannot
    leave locked; a condition variable could.
    """

    def __init__(self, on_close: Callable[[Stream], None]) -> None:
        self._on_close = on_close
        self._arrived: SimpleQueue[Hint | None] = SimpleQueue()
        self._closed = False

    def get(self, timeout_s: float) -> list[Hint]:
        hints: list[Hint] = []
        try:
            self._take(hints, timeout_s)
            while True:
                self._take(hints, 0.0)
        except Empty:
            return hints

    def close(self) -> None:
        self._closed = True
        self._arrived.put(None)
        self._on_close(self)

    def put(self, hint: Hint) -> None:
        """Queue a hint and wake the reader."""
        if self._arrived.qsize() < _QUEUED_MAX:
            self._arrived.put(hint)

    def _take(self, hints: list[Hint], timeout_s: float) -> None:
        hint = None if self._closed else self._arrived.get(timeout=max(0.0, timeout_s))
        if hint is None or self._closed:
            raise BackendUnavailable("the hint stream was closed; open another one")
        hints.append(hint)


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
