# Generated from tests/contract/aio/test_aio_lock_store_time.py by tools/unasync.py; do not edit.
"""The lock store's contract: expiry, hand-over that nobody confirms, and reopening.

Time is real here, since it is the store's own; sleeps are short and few.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

import pytest

from concordant.drivers.base import LockStore
from concordant.locking import limits
from concordant.locking.operations import (
    Acquire,
    Break,
    Busy,
    Confirm,
    Granted,
    Held,
    Lost,
    Queued,
    Release,
    Renew,
)
from tests.contract.parties import Party, strangers
from tests.contract.sync.asking import TTL_MS, ask, grab, holders, look, queue
from tests.provision.backend import Backend
from tests.provision.bridge import blocking, sleep

SHORT_MS = 150
# Clocks of store and test are read apart: past this, the lease is over by any reading.
OVER_S = SHORT_MS / 1000 + 0.1
# What does not come is waited for this long.
NOT_S = 0.2


def test_a_lease_ends_after_its_ttl_and_not_before(store: LockStore) -> None:
    first, second = strangers(2)
    asked = time.monotonic()
    fence = grab(store, "a", first, ttl_ms=SHORT_MS)
    while True:
        result = ask(store, Acquire("a", second, TTL_MS))
        if isinstance(result, Granted):
            break
        assert isinstance(result, Busy)
        assert result.retry_ms <= SHORT_MS
        sleep(result.retry_ms / 1000)
    # Granting takes place after asking, so the whole TTL must have passed since then. The
    # millisecond is for a store whose clock is coarser than ours.
    assert time.monotonic() - asked >= (SHORT_MS - 1) / 1000
    assert result.fence > fence
    assert ask(store, Renew("a", first, fence, TTL_MS)) == Lost()
    assert ask(store, Release("a", first, fence)) == Lost()
    assert holders(store, "a") == [second]


def test_an_expired_lease_is_over_even_if_nobody_took_the_lock(
    store: LockStore,
) -> None:
    [owner] = strangers(1)
    fence = grab(store, "a", owner, ttl_ms=SHORT_MS)
    sleep(OVER_S)
    assert holders(store, "a") == []
    assert store.names() == []
    assert ask(store, Renew("a", owner, fence, TTL_MS)) == Lost()
    assert ask(store, Release("a", owner, fence)) == Lost()
    # Asking anew under the same id is a new grant, under a new fence.
    assert grab(store, "a", owner) > fence


def test_renewing_keeps_a_lease_past_its_first_ttl(store: LockStore) -> None:
    first, second = strangers(2)
    fence = grab(store, "a", first, ttl_ms=1000)
    assert ask(store, Renew("a", first, fence, TTL_MS)) == Held()
    sleep(1.1)
    assert isinstance(ask(store, Acquire("a", second, TTL_MS)), Busy)
    assert ask(store, Renew("a", first, fence, SHORT_MS)) == Held()
    # A shorter TTL counts as well: the lease runs from the last renewal.
    sleep(OVER_S)
    grab(store, "a", second)


def test_a_waiter_is_granted_when_the_holder_expires(store: LockStore, listener: LockStore) -> None:
    party = Party()
    [first], second = strangers(1), party.owner()
    with closing(listener.hints(party.client)) as stream:
        fence = grab(store, "a", first, ttl_ms=SHORT_MS)
        result = ask(store, Acquire("a", second, TTL_MS, wait=True))
        assert isinstance(result, Queued)
        # Nobody is told of an expiry, so the store says when to ask again.
        assert result.retry_ms <= SHORT_MS
        sleep(OVER_S)
        result = ask(store, Acquire("a", second, TTL_MS, wait=True))
        assert isinstance(result, Granted)
        assert result.fence > fence
        # The reply said it all.
        assert blocking(stream.get, NOT_S) == []


def test_a_grant_found_by_somebody_elses_request_is_told(
    store: LockStore, listener: LockStore
) -> None:
    party = Party()
    [lasting, short], waiter = strangers(2), party.owner()
    with closing(listener.hints(party.client)) as stream:
        ask(store, Acquire("s", lasting, TTL_MS, capacity=2))
        ask(store, Acquire("s", short, SHORT_MS, capacity=2))
        ask(store, Acquire("s", waiter, TTL_MS, wait=True, capacity=2))
        sleep(OVER_S)
        # This asks for what it has already, and finds the other permit expired on the way.
        again = ask(store, Acquire("s", lasting, TTL_MS, capacity=2))
        assert isinstance(again, Granted)
        [hint] = blocking(stream.get, 10.0)
    assert (hint.name, hint.owner) == ("s", waiter)
    assert holders(store, "s") == [lasting, waiter]


def test_whoever_asks_after_an_expiry_serves_the_queue_first(
    store: LockStore, listener: LockStore
) -> None:
    party = Party()
    first, third = strangers(2)
    second = party.owner()
    fence = grab(store, "a", first, ttl_ms=SHORT_MS)
    queue(store, "a", second)
    with closing(listener.hints(party.client)) as stream:
        sleep(OVER_S)
        assert isinstance(ask(store, Acquire("a", third, TTL_MS)), Busy)
        [hint] = blocking(stream.get, 10.0)
    assert (hint.name, hint.owner) == ("a", second)
    assert hint.fence > fence
    assert holders(store, "a") == [second]


def test_a_grant_that_nobody_confirms_passes_on(store: LockStore, listener: LockStore) -> None:
    alive, next_one = Party(), Party()
    [first] = strangers(1)
    second, third = alive.owner(), next_one.owner()
    # Both clients listen, so neither is taken for dead; the first of them is only slow.
    with (
        closing(listener.hints(alive.client)) as slow,
        closing(listener.hints(next_one.client)),
    ):
        fence = grab(store, "a", first)
        queue(store, "a", second, ttl_ms=60_000)
        queue(store, "a", third)
        ask(store, Release("a", first, fence))
        [hint] = blocking(slow.get, 10.0)
        [holder] = (look(store, "a")).holders
        assert (holder.owner, holder.fence, holder.confirmed) == (second, hint.fence, False)
        assert holder.remaining_ms <= limits.CONFIRM_MS
        sleep(limits.CONFIRM_MS / 1000 + 0.1)
        result = ask(store, Acquire("a", third, TTL_MS, wait=True))
        assert isinstance(result, Granted)
        assert result.fence > hint.fence
        # A hint is no grant: the slow one comes too late, and learns it.
        assert ask(store, Confirm("a", second, hint.fence, TTL_MS)) == Lost()
        assert holders(store, "a") == [third]


@pytest.mark.parametrize("how", ["release", "break", "expiry"])
def test_fences_rise_over_reopening(another_store: Callable[[], LockStore], how: str) -> None:
    fences: list[int] = []
    for owner in strangers(3):
        opened = another_store()
        fences.append(grab(opened, "a", owner, ttl_ms=SHORT_MS))
        if how == "release":
            ask(opened, Release("a", owner, fences[-1]))
        elif how == "break":
            ask(opened, Break("a"))
        else:
            sleep(OVER_S)
        opened.close()
    assert fences == sorted(set(fences))


def test_stores_at_one_url_are_one_store(
    store: LockStore, another_store: Callable[[], LockStore]
) -> None:
    other = another_store()
    first, second = strangers(2)
    fence = grab(store, "a", first)
    assert isinstance(ask(other, Acquire("a", second, TTL_MS)), Busy)
    assert holders(other, "a") == [first]
    assert other.names() == ["a"]
    queue(other, "a", second)
    ask(store, Release("a", first, fence))
    result = ask(other, Acquire("a", second, TTL_MS, wait=True))
    assert isinstance(result, Granted)
    assert result.fence > fence


def test_leases_outlive_the_store_object(
    lock_backend: Backend, another_store: Callable[[], LockStore], listener: LockStore
) -> None:
    # The listener keeps a store in memory alive; where leases survive a restart, nobody has to.
    if lock_backend.promises.survives_restart:
        listener.close()
    holder, waiter = strangers(2)
    opened = another_store()
    fence = grab(opened, "a", holder)
    queue(opened, "a", waiter)
    opened.close()
    opened = another_store()
    view = look(opened, "a")
    assert [(h.owner, h.fence) for h in view.holders] == [(holder, fence)]
    assert [w.owner for w in view.waiters] == [waiter]
    assert ask(opened, Renew("a", holder, fence, TTL_MS)) == Held()
