# Generated from tests/contract/aio/test_aio_lock_store.py by tools/unasync.py; do not edit.
"""The lock store's contract, over every backend: who holds what, under which fence."""

from __future__ import annotations

import time

import pytest

from concordant.drivers.base import LockStore
from concordant.locking import limits
from concordant.locking.operations import (
    Acquire,
    Break,
    Broken,
    Busy,
    Confirm,
    Granted,
    Held,
    Lost,
    Refused,
    Release,
    Released,
    Renew,
)
from tests.contract.parties import Party, strangers
from tests.contract.sync.asking import TTL_MS, ask, grab, holders, look, queue

MINUTE_US = 60_000_000


def test_a_free_lock_is_granted_under_a_fence_of_the_clock(store: LockStore) -> None:
    before_us = time.time_ns() // 1000
    fence = grab(store, "a", Party().owner())
    assert before_us - MINUTE_US < fence < time.time_ns() // 1000 + MINUTE_US
    assert fence <= limits.FENCE_MAX


def test_a_held_lock_is_busy_for_all_others(store: LockStore) -> None:
    first, second = strangers(2)
    grab(store, "a", first, ttl_ms=1000)
    result = ask(store, Acquire("a", second, TTL_MS))
    assert isinstance(result, Busy)
    assert 1 <= result.retry_ms <= 1000
    assert holders(store, "a") == [first]


def test_asking_again_under_the_same_id_gives_the_same_grant(store: LockStore) -> None:
    [owner] = strangers(1)
    fence = grab(store, "a", owner)
    assert grab(store, "a", owner) == fence
    [holder] = (look(store, "a")).holders
    assert (holder.owner, holder.fence) == (owner, fence)


def test_asking_again_gives_a_full_ttl(store: LockStore) -> None:
    [owner] = strangers(1)
    grab(store, "a", owner, ttl_ms=1000)
    grab(store, "a", owner, ttl_ms=60_000)
    [holder] = (look(store, "a")).holders
    assert holder.remaining_ms > 1000


def test_a_released_lock_is_granted_again_under_a_higher_fence(
    store: LockStore,
) -> None:
    first, second = strangers(2)
    fence = grab(store, "a", first)
    assert ask(store, Release("a", first, fence)) == Released()
    assert holders(store, "a") == []
    assert grab(store, "a", second) > fence


def test_fences_rise_over_many_quick_grants(store: LockStore) -> None:
    # Quicker than one a microsecond in one batch: the clock alone would repeat itself.
    fences = []
    for owner in strangers(20):
        fences.append(grab(store, "a", owner))
        ask(store, Release("a", owner, fences[-1]))
    assert fences == sorted(set(fences))


@pytest.mark.parametrize("kind", [Release, Renew, Confirm])
@pytest.mark.parametrize("wrong", ["owner", "fence", "client", "name"])
def test_only_the_holder_can_act_on_its_lease(store: LockStore, kind: type, wrong: str) -> None:
    party = Party()
    owner = party.owner()
    fence = grab(store, "a", owner)
    name, asker, token = "a", owner, fence
    if wrong == "owner":
        asker = party.owner()
    elif wrong == "client":
        asker = Party().owner()
    elif wrong == "fence":
        token = fence + 1
    else:
        name = "b"
    more = () if kind is Release else (TTL_MS,)
    assert ask(store, kind(name, asker, token, *more)) == Lost()
    assert holders(store, "a") == [owner]


def test_a_second_release_says_lost_and_harms_nobody(store: LockStore) -> None:
    first, second = strangers(2)
    fence = grab(store, "a", first)
    ask(store, Release("a", first, fence))
    assert ask(store, Release("a", first, fence)) == Lost()
    grab(store, "a", second)
    assert ask(store, Release("a", first, fence)) == Lost()
    assert holders(store, "a") == [second]


@pytest.mark.parametrize("kind", [Renew, Confirm])
def test_the_holder_can_extend_its_lease(store: LockStore, kind: type) -> None:
    [owner] = strangers(1)
    fence = grab(store, "a", owner, ttl_ms=1000)
    assert ask(store, kind("a", owner, fence, 60_000)) == Held()
    [holder] = (look(store, "a")).holders
    assert 1000 < holder.remaining_ms <= 60_000
    assert holder.confirmed


def test_an_onlooker_sees_all_and_changes_nothing(store: LockStore) -> None:
    first, second = strangers(2)
    fence = grab(store, "a", first)
    result = ask(store, Acquire("a", first, 5000, note="näme\n'\"\\ 1"))
    assert result == Granted(fence)
    ask(store, Acquire("a", second, 7000, wait=True, note="second %s ? {}"))
    for _ in range(2):
        view = look(store, "a")
        [holder], [waiter] = view.holders, view.waiters
        assert (view.fence, view.capacity) == (fence, 1)
        assert (holder.owner, holder.fence, holder.permits) == (first, fence, 1)
        assert holder.confirmed
        assert 0 < holder.remaining_ms <= 5000
        assert (waiter.owner, waiter.permits) == (second, 1)
        assert waiter.note == "second %s ? {}"


def test_a_note_is_kept_as_it_was_given(store: LockStore) -> None:
    [owner] = strangers(1)
    note = "näme\n'\"\\ 1 %s {} \U0001f512" + "x" * 400
    ask(store, Acquire("a", owner, TTL_MS, note=note))
    [holder] = (look(store, "a")).holders
    assert holder.note == note


def test_looking_at_a_lock_that_never_was_finds_it_free(store: LockStore) -> None:
    view = look(store, "never")
    assert (view.holders, view.waiters) == ((), ())
    assert store.names() == []


def test_breaking_evicts_the_holder_of_that_fence_alone(store: LockStore) -> None:
    first, second = strangers(2)
    fences = []
    for owner in (first, second):
        result = ask(store, Acquire("a", owner, TTL_MS, capacity=2))
        assert isinstance(result, Granted)
        fences.append(result.fence)
    assert ask(store, Break("a", max(fences) + 1)) == Broken(0)
    assert ask(store, Break("a", fences[0])) == Broken(1)
    assert holders(store, "a") == [second]
    assert ask(store, Renew("a", first, fences[0], TTL_MS)) == Lost()
    assert ask(store, Renew("a", second, fences[1], TTL_MS)) == Held()


def test_breaking_without_a_fence_evicts_every_holder(store: LockStore) -> None:
    owners = strangers(3)
    for owner in owners:
        ask(store, Acquire("a", owner, TTL_MS, capacity=3))
    assert ask(store, Break("a")) == Broken(3)
    assert ask(store, Break("a")) == Broken(0)
    assert holders(store, "a") == []


def test_breaking_hands_over_to_the_head_of_the_queue(store: LockStore) -> None:
    first, second = strangers(2)
    fence = grab(store, "a", first)
    queue(store, "a", second)
    assert ask(store, Break("a")) == Broken(1)
    view = look(store, "a")
    [holder] = view.holders
    assert holder.owner == second
    assert holder.fence > fence


def test_a_semaphore_grants_its_permits_and_no_more(store: LockStore) -> None:
    owners = strangers(4)
    results = [ask(store, Acquire("s", owner, TTL_MS, capacity=3)) for owner in owners]
    assert [type(result) for result in results] == [Granted, Granted, Granted, Busy]
    assert holders(store, "s") == owners[:3]


def test_readers_share_and_a_writer_takes_all(store: LockStore) -> None:
    reader, another, writer = strangers(3)
    fence = {}
    for owner in (reader, another):
        result = ask(store, Acquire("rw", owner, TTL_MS, permits=1, capacity=100))
        assert isinstance(result, Granted)
        fence[owner] = result.fence
    everything = Acquire("rw", writer, TTL_MS, permits=100, capacity=100)
    assert isinstance(ask(store, everything), Busy)
    ask(store, Release("rw", reader, fence[reader]))
    assert isinstance(ask(store, everything), Busy)
    ask(store, Release("rw", another, fence[another]))
    assert isinstance(ask(store, everything), Granted)
    assert isinstance(ask(store, Acquire("rw", reader, TTL_MS, capacity=100)), Busy)


def test_another_capacity_is_refused_while_the_lock_is_in_use(
    store: LockStore,
) -> None:
    first, second = strangers(2)
    fence = grab(store, "a", first)
    for wait in (False, True):
        result = ask(store, Acquire("a", second, TTL_MS, wait=wait, capacity=2))
        assert isinstance(result, Refused)
        assert "capacity is 1" in result.reason
    view = look(store, "a")
    assert (view.capacity, view.waiters) == (1, ())
    ask(store, Release("a", first, fence))
    result = ask(store, Acquire("a", second, TTL_MS, capacity=2))
    assert isinstance(result, Granted)
    assert (look(store, "a")).capacity == 2
