# Generated from tests/contract/aio/test_aio_lock_store_queue.py by tools/unasync.py; do not edit.
"""The lock store's contract: the queue, and every way to leave it."""

from __future__ import annotations

import pytest

from concordant.drivers.base import LockStore
from concordant.locking.operations import (
    Acquire,
    Busy,
    Cancel,
    Cancelled,
    Confirm,
    Granted,
    Held,
    Queued,
    Refused,
    Release,
    Released,
)
from tests.contract.parties import strangers
from tests.contract.sync.asking import TTL_MS, ask, grab, holders, look, queue, waiters


def test_waiters_are_served_in_the_order_they_came(store: LockStore) -> None:
    first, *rest = strangers(6)
    fence = grab(store, "a", first)
    assert [queue(store, "a", owner) for owner in rest] == [0, 1, 2, 3, 4]
    served, fences, holder = [], [fence], first
    for _ in rest:
        assert ask(store, Release("a", holder, fences[-1])) == Released()
        [now] = (look(store, "a")).holders
        assert not now.confirmed
        assert ask(store, Confirm("a", now.owner, now.fence, TTL_MS)) == Held()
        served.append(now.owner)
        fences.append(now.fence)
        holder = now.owner
    assert served == rest
    assert fences == sorted(set(fences))


def test_asking_again_keeps_the_place(store: LockStore) -> None:
    holder, *rest = strangers(4)
    grab(store, "a", holder)
    for owner in rest:
        queue(store, "a", owner)
    for position, owner in enumerate(rest):
        result = ask(store, Acquire("a", owner, TTL_MS, wait=True))
        assert isinstance(result, Queued)
        assert result.position == position
        assert result.retry_ms >= 1
    assert waiters(store, "a") == rest


def test_a_waiter_that_was_granted_meanwhile_learns_it_by_asking(
    store: LockStore,
) -> None:
    first, second = strangers(2)
    fence = grab(store, "a", first)
    queue(store, "a", second)
    ask(store, Release("a", first, fence))
    result = ask(store, Acquire("a", second, TTL_MS, wait=True))
    assert isinstance(result, Granted)
    assert result.fence > fence
    [holder] = (look(store, "a")).holders
    assert (holder.owner, holder.fence, holder.confirmed) == (second, result.fence, True)


def test_nobody_overtakes_the_queue(store: LockStore) -> None:
    holder, waiter, hasty = strangers(3)
    first = ask(store, Acquire("rw", holder, TTL_MS, permits=1, capacity=10))
    assert isinstance(first, Granted)
    everything = Acquire("rw", waiter, TTL_MS, wait=True, permits=10, capacity=10)
    assert isinstance(ask(store, everything), Queued)
    # Nine permits are free, but the writer came first: a reader must not starve it.
    one = Acquire("rw", hasty, TTL_MS, permits=1, capacity=10)
    assert isinstance(ask(store, one), Busy)
    patient = Acquire("rw", hasty, TTL_MS, wait=True, permits=1, capacity=10)
    result = ask(store, patient)
    assert isinstance(result, Queued)
    assert result.position == 1
    ask(store, Release("rw", holder, first.fence))
    assert holders(store, "rw") == [waiter]
    assert waiters(store, "rw") == [hasty]


def test_all_that_fit_are_granted_at_once(store: LockStore) -> None:
    writer, *readers = strangers(4)
    fence = grab(store, "rw", writer, permits=2)
    for reader in readers:
        result = ask(store, Acquire("rw", reader, TTL_MS, wait=True, capacity=2))
        assert isinstance(result, Queued)
    ask(store, Release("rw", writer, fence))
    granted = (look(store, "rw")).holders
    # Granted in one step, yet each under a fence of its own, in the order they came.
    assert [holder.owner for holder in sorted(granted, key=lambda h: h.fence)] == readers[:2]
    assert len({fence, *(holder.fence for holder in granted)}) == 3
    assert waiters(store, "rw") == readers[2:]


def test_asking_without_waiting_leaves_the_queue(store: LockStore) -> None:
    holder, first, second = strangers(3)
    grab(store, "a", holder)
    queue(store, "a", first)
    queue(store, "a", second)
    assert isinstance(ask(store, Acquire("a", first, TTL_MS)), Busy)
    assert waiters(store, "a") == [second]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_cancelling_takes_a_waiter_out_wherever_it_stands(store: LockStore, position: int) -> None:
    holder, *rest = strangers(4)
    fence = grab(store, "a", holder)
    for owner in rest:
        queue(store, "a", owner)
    gone = rest.pop(position)
    assert ask(store, Cancel("a", gone)) == Cancelled("waiter")
    assert ask(store, Cancel("a", gone)) == Cancelled("absent")
    assert waiters(store, "a") == rest
    ask(store, Release("a", holder, fence))
    assert holders(store, "a") == rest[:1]


def test_cancelling_a_holder_hands_over(store: LockStore) -> None:
    holder, waiter = strangers(2)
    grab(store, "a", holder)
    queue(store, "a", waiter)
    assert ask(store, Cancel("a", holder)) == Cancelled("holder")
    assert holders(store, "a") == [waiter]


def test_cancelling_a_grant_that_was_not_yet_confirmed_hands_over(
    store: LockStore,
) -> None:
    holder, first, second = strangers(3)
    fence = grab(store, "a", holder)
    queue(store, "a", first)
    queue(store, "a", second)
    ask(store, Release("a", holder, fence))
    assert holders(store, "a") == [first]
    assert ask(store, Cancel("a", first)) == Cancelled("holder")
    assert holders(store, "a") == [second]


def test_cancelling_one_that_blocks_the_head_lets_the_next_in(
    store: LockStore,
) -> None:
    reader, writer, another = strangers(3)
    ask(store, Acquire("rw", reader, TTL_MS, capacity=2))
    ask(store, Acquire("rw", writer, TTL_MS, wait=True, permits=2, capacity=2))
    ask(store, Acquire("rw", another, TTL_MS, wait=True, capacity=2))
    assert ask(store, Cancel("rw", writer)) == Cancelled("waiter")
    assert holders(store, "rw") == [reader, another]


@pytest.mark.parametrize("was", ["holder", "waiter", "absent"])
@pytest.mark.parametrize("wait", [False, True])
def test_a_late_acquire_of_a_cancelled_owner_is_refused(
    store: LockStore, was: str, wait: bool
) -> None:
    holder, owner = strangers(2)
    if was == "waiter":
        grab(store, "a", holder)
        queue(store, "a", owner)
    elif was == "holder":
        grab(store, "a", owner)
    assert ask(store, Cancel("a", owner, late=True)) == Cancelled(was)
    late = ask(store, Acquire("a", owner, TTL_MS, wait=wait))
    assert late == Refused("cancelled")
    assert owner not in holders(store, "a") + waiters(store, "a")
    # Nobody else is hit, and the name is free again for a new acquisition.
    if was != "waiter":
        grab(store, "a", holder)


def test_an_early_cancel_forbids_nothing(store: LockStore) -> None:
    [owner] = strangers(1)
    assert ask(store, Cancel("a", owner)) == Cancelled("absent")
    grab(store, "a", owner)


def test_a_late_cancel_forbids_that_one_name_alone(store: LockStore) -> None:
    [owner] = strangers(1)
    ask(store, Cancel("a", owner, late=True))
    grab(store, "b", owner)


def test_many_late_cancels_are_all_remembered(store: LockStore) -> None:
    owners = strangers(50)
    store.apply([Cancel("a", owner, late=True) for owner in owners])
    results = store.apply([Acquire("a", owner, TTL_MS) for owner in owners])
    assert set(results) == {Refused("cancelled")}
