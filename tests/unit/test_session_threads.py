"""The threads behind a client outlive whatever a store, a channel or a callback does to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import pytest

from concordant import Client
from concordant.clock import SYSTEM_CLOCK, ManualClock
from concordant.drivers import registry
from concordant.drivers.base import HintStream, LockStore
from concordant.drivers.capabilities import Capabilities
from concordant.errors import LockLost
from concordant.locking.operations import (
    Acquire,
    Cancel,
    Granted,
    Inspect,
    Operation,
    Renew,
    Result,
    View,
)
from concordant.session.holding import Holding
from concordant.session.listener import Won
from concordant.session.session import Session
from tests.surface.together import eventually

_names = count()


class Clumsy:
    """A store in memory whose driver has a bug: now and then it raises what no driver should."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._store: LockStore = registry.lock_store(url)
        self.failures = 0
        self.fails_at: type | None = None
        self.refused_streams = 0
        self.streams: list[HintStream] = []

    @property
    def capabilities(self) -> Capabilities:
        """What memory promises."""
        return self._store.capabilities

    def apply(self, batch: Sequence[Operation]) -> list[Result]:
        """Fail if it is told to, apply otherwise."""
        if self.fails_at and any(isinstance(item, self.fails_at) for item in batch):
            self.failures += 1
            raise RuntimeError("a bug in the driver")
        return self._store.apply(batch)

    def names(self, after: str = "", limit: int = 256) -> list[str]:
        """Return the names of the store."""
        return self._store.names(after, limit)

    def hints(self, client: str) -> HintStream:
        """Listen, or fail as often as it is told to."""
        if self.refused_streams and self.streams:
            self.refused_streams -= 1
            raise RuntimeError("a bug in the driver")
        self.streams.append(self._store.hints(client))
        return self.streams[-1]

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def ask(self, operation: Operation) -> Any:
        """Apply one operation past all failures."""
        return self._store.apply([operation])[0]


@pytest.fixture
def store() -> Iterator[Clumsy]:
    opened = Clumsy(f"memory://session-{next(_names)}")
    yield opened
    opened.close()


@pytest.fixture
def session(store: Clumsy) -> Iterator[Session]:
    opened = Session(lambda: store, SYSTEM_CLOCK, store.url)
    yield opened
    opened.close()


def hold(session: Session, store: Clumsy, name: str, ttl_ms: int) -> Holding:
    """Acquire a lock and keep it."""
    owner = session.new_owner()
    sent_ns = session.clock.local_ns()
    granted = store.ask(Acquire(name, owner, ttl_ms))
    assert isinstance(granted, Granted)
    return session.hold(name, owner, Won(granted.fence, sent_ns), ttl_ms)


def is_free(store: Clumsy, name: str) -> bool:
    view = store.ask(Inspect(name))
    assert isinstance(view, View)
    return not view.holders and not view.waiters


def test_a_renewal_that_raises_anything_is_tried_again(session: Session, store: Clumsy) -> None:
    store.fails_at = Renew
    holding = hold(session, store, "a", 600)
    eventually(lambda: store.failures >= 2)
    store.fails_at = None
    time.sleep(0.7)
    holding.check()


@pytest.mark.parametrize(
    ("renewals", "cancels", "said"),
    [
        (1, 0, "renewing 1 lease failed, trying again"),
        (2, 0, "renewing 2 leases failed, trying again"),
        (0, 1, "giving back 1 lock failed, trying again"),
        (3, 2, "renewing 3 leases and giving back 2 locks failed, trying again"),
    ],
)
def test_what_failed_is_told_with_its_number(
    session: Session,
    store: Clumsy,
    caplog: pytest.LogCaptureFixture,
    renewals: int,
    cancels: int,
    said: str,
) -> None:
    """Of one batch: what is left over is put in when a renewal is due."""
    batch: list[Operation] = [Renew("a", f"x.{n}", 1, 600) for n in range(renewals)]
    batch += [Cancel("a", f"y.{n}") for n in range(cancels)]
    store.fails_at = Renew if renewals else Cancel
    keeper = session._keeper
    keeper._work.put(batch)
    keeper._work.put(None)
    keeper._carry()
    assert caplog.messages == [said]


def test_a_cancellation_that_raises_anything_is_tried_again(
    session: Session, store: Clumsy
) -> None:
    holding = hold(session, store, "a", 30_000)
    store.fails_at = Cancel
    session.let_go(holding)
    session.cancel_later(Cancel("a", holding.owner), 30_000)
    eventually(lambda: store.failures >= 2)
    assert not is_free(store, "a")
    store.fails_at = None
    eventually(lambda: is_free(store, "a"))


def test_what_is_left_over_is_done_at_the_close(store: Clumsy) -> None:
    # By a store of its own, as the one of the session is closed with it.
    own = Clumsy(store.url)
    session = Session(lambda: own, SYSTEM_CLOCK, own.url)
    own.fails_at = Cancel
    for number in range(300):
        holding = hold(session, store, f"n{number}", 30_000)
        session.let_go(holding)
        session.cancel_later(Cancel(holding.name, holding.owner), 30_000)
    eventually(lambda: own.failures >= 1)
    assert len(store.names(limit=500)) == 300
    own.fails_at = None
    session.close()
    assert store.names() == []


class Stone:
    """A waiter that only remembers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ttl_ms = 30_000
        self.woken: list[Won | None] = []

    def wake(self, won: Won | None) -> None:
        """Remember."""
        self.woken.append(won)


def test_a_channel_that_cannot_be_opened_is_tried_again(session: Session, store: Clumsy) -> None:
    session.listen()
    waiter = Stone("a")
    owner = session.new_owner()
    session.expect(owner, waiter)
    store.refused_streams = 2
    store.streams[0].close()
    eventually(lambda: len(store.streams) == 2 and session.listening)
    assert store.refused_streams == 0
    # Whoever waited is made to ask, and the new channel works.
    eventually(lambda: waiter.woken == [None])
    holding = hold(session, store, "a", 30_000)
    store.ask(Acquire("a", owner, 30_000, wait=True))
    # As another client's release, which tells by a hint.
    store.ask(Cancel("a", holding.owner))
    eventually(lambda: len(waiter.woken) == 2)
    won = waiter.woken[1]
    assert won is not None
    assert won.fence > holding.fence
    [holder] = store.ask(Inspect("a")).holders
    assert holder.confirmed


def test_a_callback_may_close_the_client() -> None:
    url = f"memory://session-{next(_names)}"
    with Client(url) as other:
        client = Client(url)
        lease = client.lock("a", ttl_s=0.15).acquire()
        client.lock("b").acquire()
        lease.on_lost(client.close)
        other.break_lock("a")
        eventually(lambda: other.names() == [])
        with pytest.raises(LockLost):
            lease.check()


def test_leases_end_by_a_clock_that_counts_suspension() -> None:
    clock = ManualClock()
    holding = Holding("a", "owner.1", 7, 1000, clock.local_ns(), clock, "memory://a")
    holding.check()
    clock.advance_s(0.9)
    holding.check()
    assert 0.05 < holding.remaining_s < 0.1
    # Never as late as the store's own end.
    clock.advance_s(0.099)
    with pytest.raises(LockLost):
        holding.check()
    assert holding.remaining_s == 0


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_the_wall_clock_is_none_of_a_leases_business(jump_s: float) -> None:
    clock = ManualClock()
    holding = Holding("a", "owner.1", 7, 1000, clock.local_ns(), clock, "memory://a")
    clock.jump_wall_s(jump_s)
    clock.advance_s(0.5)
    assert 0.45 < holding.remaining_s < 0.5


def test_a_holding_is_lost_or_released_but_not_both() -> None:
    told: list[str] = []

    def make() -> Holding:
        holding = Holding(
            "a", "owner.1", 7, 1000, SYSTEM_CLOCK.local_ns(), SYSTEM_CLOCK, "memory://a"
        )
        holding.on_lost(lambda: told.append("brief"), brief=True)
        holding.on_lost(lambda: told.append("callback"))
        return holding

    def run(calls: Sequence[Callable[[], None]]) -> None:
        for call in calls:
            call()

    released = make()
    assert released.end()
    assert not released.end()
    run(released.mark_lost("too late"))
    assert told == []
    assert not released.lost
    lost = make()
    run(lost.mark_lost("for a reason"))
    run(lost.mark_lost("a second time"))
    assert told == ["brief", "callback"]
    assert not lost.end()
    assert lost.lost_reason == "for a reason"
