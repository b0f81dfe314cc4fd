"""Locks on a Redis server: each lock a record, each batch one script."""

from __future__ import annotations

import os
import re
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from concordant.drivers.capabilities import Capabilities, Fencing
from concordant.drivers.redis.codec import decode, encode
from concordant.drivers.redis.hints import ChannelStream
from concordant.drivers.redis.link import AsyncLink, Link
from concordant.drivers.redis.options import RedisOptions
from concordant.drivers.redis.script import APPLY, Script
from concordant.drivers.redis.wire import Caller, command
from concordant.errors import UsageError
from concordant.locking import limits
from concordant.locking.batch import check_size
from concordant.locking.operations import Inspect, Operation, Result, View

# Measured: while the server runs one batch of about this size, the client makes the next.
LANES: Final = 2
BATCH_BEST: Final = 32

CAPABILITIES: Final = Capabilities(
    backend="redis",
    fencing=Fencing.BEST_EFFORT,
    survives_restart=True,
    across_processes=True,
    across_hosts=True,
    detects_dead_waiters=True,
    note=(
        "what a restart or a failover loses (all without appendonly, the last writes with a "
        "replica) are leases given twice; fences rise all the same while clocks are sane"
    ),
    lanes=LANES,
    batch_best=BATCH_BEST,
)

_SCAN_COUNT: Final = 1000
_PING: Final = command("PING")

AnyLink = TypeVar("AnyLink", bound=Link | AsyncLink)


class _Idle(Generic[AnyLink]):
    """The links of one store that nobody uses now; as many are kept as there are lanes."""

    def __init__(self, make: Callable[[RedisOptions], AnyLink], options: RedisOptions) -> None:
        self._make = make
        self._options = options
        self._links: deque[AnyLink] = deque()
        self._pid = os.getpid()
        self._closed = False

    def check(self) -> None:
        """Raise UsageError after close, or in a forked child."""
        place = self._options.place
        if self._closed:
            raise UsageError(f"the store {place} was closed; open it anew")
        if self._pid != os.getpid():
            raise UsageError(f"{place} was opened before fork; open it anew in this process")

    def take(self) -> AnyLink:
        """Return a link that nobody else uses."""
        self.check()
        try:
            return self._links.pop()
        except IndexError:
            return self._make(self._options)

    def keep(self, link: AnyLink) -> bool:
        """Take a link back; False: it is one too many, and the caller has to close it."""
        if self._closed or len(self._links) >= LANES:
            return False
        self._links.append(link)
        return True

    def close(self) -> list[AnyLink]:
        """Hand out links no more; returns what was idle, to be closed by the owner of it."""
        self._closed = True
        links, self._links = list(self._links), deque()
        return links if self._pid == os.getpid() else []


def _scan(prefix: str, cursor: int) -> bytes:
    # What has a meaning in a pattern stands for itself in a prefix.
    literal = re.sub(r"([\\*?\[\]^])", r"\\\1", prefix)
    return command("SCAN", cursor, "MATCH", f"{literal}lock:*", "COUNT", _SCAN_COUNT)


def _scanned(reply: Any, prefix: str, after: str) -> tuple[int, list[str]]:
    """Return the next cursor, and the names past `after` that a SCAN has found."""
    cursor, keys = reply
    start = len(f"{prefix}lock:".encode())
    names = (key[start:].decode(errors="replace") for key in keys)
    return int(cursor), [name for name in names if name > after]


def _pages(names: set[str]) -> Iterator[list[Inspect]]:
    """Yield requests to look at the names, in order, a batch at a time."""
    ordered = sorted(names)
    for start in range(0, len(ordered), limits.BATCH_MAX):
        yield [Inspect(name) for name in ordered[start : start + limits.BATCH_MAX]]


def _busy(views: Sequence[Result]) -> list[str]:
    return [v.name for v in views if isinstance(v, View) and (v.holders or v.waiters)]


class RedisLockStore:
    """One process's handle on the locks of a server, for threads.

    Its time is the server's wall clock: whoever sets that forward ends leases early, and only
    a fence that the resource checks protects from their holders then.
    """

    def __init__(self, options: RedisOptions, script: Script = APPLY) -> None:
        self._options = options
        self._caller = Caller(script, options.prefix)
        self._idle: _Idle[Link] = _Idle(Link, options)
        self._streams: weakref.WeakSet[ChannelStream] = weakref.WeakSet()

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def apply(self, batch: Sequence[Operation]) -> list[Result]:
        check_size(batch)
        request = encode(batch)
        if not request.names:
            self._ask(_PING)
            return decode(b"", batch, request)
        call = self._caller.call(request.names, request.operations)
        link = self._idle.take()
        try:
            reply = link.run(self._caller, call)
        finally:
            self._give_back(link)
        return decode(reply, batch, request)

    def names(self, after: str = "", limit: int = 256) -> list[str]:
        """Look at every key of the database, so this is for people, not for programs."""
        prefix, cursor, found = self._options.prefix, 0, set[str]()
        while True:
            cursor, more = _scanned(self._ask(_scan(prefix, cursor)), prefix, after)
            found.update(more)
            if not cursor:
                break
        busy: list[str] = []
        for page in _pages(found):
            if len(busy) >= limit:
                break
            busy += _busy(self.apply(page))
        return busy[: max(0, limit)]

    def hints(self, client: str) -> ChannelStream:
        self._idle.check()
        stream = ChannelStream(self._options, client)
        self._streams.add(stream)
        return stream

    def close(self) -> None:
        for stream in list(self._streams):
            stream.close()
        for link in self._idle.close():
            link.close()

    def _ask(self, question: bytes) -> Any:
        link = self._idle.take()
        try:
            return link.call(question)
        finally:
            self._give_back(link)

    def _give_back(self, link: Link) -> None:
        if not self._idle.keep(link):
            link.close()


class AsyncRedisLockStore:
    """One process's handle on the locks of a server, for the tasks of one loop."""

    def __init__(self, options: RedisOptions, script: Script = APPLY) -> None:
        self._options = options
        self._caller = Caller(script, options.prefix)
        self._idle: _Idle[AsyncLink] = _Idle(AsyncLink, options)

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def apply(self, batch: Sequence[Operation]) -> list[Result]:
        check_size(batch)
        request = encode(batch)
        if not request.names:
            await self._ask(_PING)
            return decode(b"", batch, request)
        call = self._caller.call(request.names, request.operations)
        link = self._idle.take()
        try:
            reply = await link.run(self._caller, call)
        finally:
            await self._give_back(link)
        return decode(reply, batch, request)

    async def names(self, after: str = "", limit: int = 256) -> list[str]:
        """Look at every key of the database, so this is for people, not for programs."""
        prefix, cursor, found = self._options.prefix, 0, set[str]()
        while True:
            cursor, more = _scanned(await self._ask(_scan(prefix, cursor)), prefix, after)
            found.update(more)
            if not cursor:
                break
        busy: list[str] = []
        for page in _pages(found):
            if len(busy) >= limit:
                break
            busy += _busy(await self.apply(page))
        return busy[: max(0, limit)]

    async def aclose(self) -> None:
        for link in self._idle.close():
            await link.close()

    async def _ask(self, question: bytes) -> Any:
        link = self._idle.take()
        try:
            return await link.call(question)
        finally:
            await self._give_back(link)

    async def _give_back(self, link: AsyncLink) -> None:
        if not self._idle.keep(link):
            await link.close()
