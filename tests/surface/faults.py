"""A store that loses, delays or refuses what a test says, around any real one.

A client opened with `faults.url(url)` speaks through it with all of its threads; other clients
of the same store are not touched.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import pytest

from concordant.drivers import registry
from concordant.drivers.base import AsyncLockStore, HintStream, LockStore
from concordant.drivers.capabilities import Capabilities
from concordant.errors import BackendUnavailable, OutcomeUnknown
from concordant.locking.operations import Hint, Operation, Result

_PREFIX = "faulty+"

How = Literal["refused", "lost", "late", "held", "slow", "hung", "interrupted", "interrupted-after"]
"""What becomes of a batch.

refused: not applied, and the caller is told so; lost: applied, but the reply is lost; late: the
caller is told nothing, and it is applied when the test says so; held: applied and answered when
the rule is over; slow: applied at once and answered when the rule is over; hung: refused when the
rule is over; interrupted: Ctrl-C before it is applied; interrupted-after: Ctrl-C when it has been.
"""


class Rule:
    """What is to happen to batches with certain operations; counts how often it did."""

    def __init__(self, how: How, kinds: tuple[type, ...], times: int) -> None:
        self.how = how
        self.hits = 0
        self._kinds = kinds
        self._times = times
        self._over = threading.Event()

    @property
    def over(self) -> bool:
        """Whether what was held back may go on."""
        return self._over.is_set()

    def end(self) -> None:
        """Let what was held back go on, and strike no more."""
        self._times = 0
        self._over.set()

    def strikes(self, batch: Sequence[Operation]) -> bool:
        """Tell whether this batch is struck, and count it."""
        if self.hits >= self._times or not any(isinstance(item, self._kinds) for item in batch):
            return False
        self.hits += 1
        return True


class Faults:
    """The rules of one test, and what its clients sent."""

    def __init__(self) -> None:
        self.seen: list[Operation] = []
        self.batches: list[list[Operation]] = []
        self.deaf = False
        self.closed_to_hints = False
        self.streams_opened = 0
        self._mutex = threading.Lock()
        self._rules: list[Rule] = []
        self._late: list[tuple[LockStore, list[Operation]]] = []
        self._streams: list[HintStream] = []

    def url(self, url: str) -> str:
        """Return the URL of the same store behind these faults."""
        return _PREFIX + url

    def on(self, how: How, *kinds: type, times: int = 1) -> Rule:
        """Let the next batches with an operation of these kinds be struck, so many times."""
        rule = Rule(how, kinds, times)
        with self._mutex:
            self._rules.append(rule)
        return rule

    def of(self, owner: str) -> list[Operation]:
        """Return what was sent for an owner, in order."""
        return [item for item in list(self.seen) if getattr(item, "owner", "") == owner]

    def deliver_late(self) -> list[Result]:
        """Apply what is late, at last, and return what the store answered."""
        with self._mutex:
            late, self._late = self._late, []
        return [result for store, batch in late for result in store.apply(batch)]

    def break_channels(self) -> None:
        """Break all hint channels that are open."""
        with self._mutex:
            streams, self._streams = self._streams, []
        for stream in streams:
            stream.close()

    def end(self) -> None:
        """Let everything go on."""
        for rule in self._rules:
            rule.end()

    def note(self, batch: Sequence[Operation]) -> Rule | None:
        """Keep what a client sends, and return the rule that strikes it."""
        with self._mutex:
            self.seen.extend(batch)
            self.batches.append(list(batch))
            return next((rule for rule in self._rules if rule.strikes(batch)), None)

    def keep_late(self, store: LockStore, batch: Sequence[Operation]) -> None:
        """Keep a batch that is on its way for a long time."""
        with self._mutex:
            self._late.append((store, list(batch)))

    def opened(self, stream: HintStream) -> None:
        """Know a hint channel, to break it."""
        with self._mutex:
            self.streams_opened += 1
            self._streams.append(stream)


class FaultyStream:
    """Hints that may be lost."""

    def __init__(self, inner: HintStream, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def get(self, timeout_s: float) -> list[Hint]:
        """Return what has arrived, unless it is lost."""
        hints = self._inner.get(timeout_s)
        return [] if self._faults.deaf else hints

    def close(self) -> None:
        """Stop listening."""
        self._inner.close()


def _raise_before(rule: Rule | None) -> None:
    if rule is None:
        return
    if rule.how in ("refused", "hung"):
        raise BackendUnavailable("refused by the test")
    if rule.how == "late":
        raise OutcomeUnknown("late by the test")
    if rule.how == "interrupted":
        raise KeyboardInterrupt


def _raise_after(rule: Rule | None) -> None:
    if rule is not None and rule.how == "lost":
        raise OutcomeUnknown("lost by the test")
    if rule is not None and rule.how == "interrupted-after":
        raise KeyboardInterrupt


class FaultyStore:
    """A store of threads behind faults."""

    def __init__(self, inner: LockStore, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    @property
    def capabilities(self) -> Capabilities:
        """What the real store promises."""
        return self._inner.capabilities

    def apply(self, batch: Sequence[Operation]) -> list[Result]:
        """Apply the batch unless a rule says otherwise."""
        rule = self._faults.note(batch)
        if rule is not None and rule.how in ("held", "hung"):
            while not rule.over:
                time.sleep(0.002)
        if rule is not None and rule.how == "late":
            self._faults.keep_late(self._inner, batch)
        _raise_before(rule)
        results = self._inner.apply(batch)
        while rule is not None and rule.how == "slow" and not rule.over:
            time.sleep(0.002)
        _raise_after(rule)
        return results

    def names(self, after: str = "", limit: int = 256) -> list[str]:
        """Return the names of the real store."""
        return self._inner.names(after, limit)

    def hints(self, client: str) -> FaultyStream:
        """Listen, if that is allowed."""
        if self._faults.closed_to_hints:
            raise BackendUnavailable("no hints, by the test")
        stream = FaultyStream(self._inner.hints(client), self._faults)
        self._faults.opened(stream)
        return stream

    def close(self) -> None:
        """Close the real store."""
        self._inner.close()


class AsyncFaultyStore:
    """A store of tasks behind faults; what is late goes by a store of threads."""

    def __init__(self, inner: AsyncLockStore, late: LockStore, faults: Faults) -> None:
        self._inner = inner
        self._late = late
        self._faults = faults

    @property
    def capabilities(self) -> Capabilities:
        """What the real store promises."""
        return self._inner.capabilities

    async def apply(self, batch: Sequence[Operation]) -> list[Result]:
        """Apply the batch unless a rule says otherwise."""
        rule = self._faults.note(batch)
        if rule is not None and rule.how in ("held", "hung"):
            while not rule.over:
                await asyncio.sleep(0.002)
        if rule is not None and rule.how == "late":
            self._faults.keep_late(self._late, batch)
        _raise_before(rule)
        results = await self._inner.apply(batch)
        while rule is not None and rule.how == "slow" and not rule.over:
            await asyncio.sleep(0.002)
        _raise_after(rule)
        return results

    async def names(self, after: str = "", limit: int = 256) -> list[str]:
        """Return the names of the real store."""
        return await self._inner.names(after, limit)

    async def aclose(self) -> None:
        """Close the real store."""
        await self._inner.aclose()


@contextmanager
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """Let clients of faulty URLs meet faults."""
    faults = Faults()
    late: list[LockStore] = []
    real: Any = registry.lock_store
    async_real: Any = registry.async_lock_store

    def lock_store(url: str) -> Any:
        if not url.startswith(_PREFIX):
            return real(url)
        return FaultyStore(real(url.removeprefix(_PREFIX)), faults)

    def async_lock_store(url: str) -> Any:
        if not url.startswith(_PREFIX):
            return async_real(url)
        plain = url.removeprefix(_PREFIX)
        late.append(real(plain))
        return AsyncFaultyStore(async_real(plain), late[-1], faults)

    monkeypatch.setattr(registry, "lock_store", lock_store)
    monkeypatch.setattr(registry, "async_lock_store", async_lock_store)
    try:
        yield faults
    finally:
        faults.end()
        for store in late:
            store.close()
