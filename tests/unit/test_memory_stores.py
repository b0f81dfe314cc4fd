"""Stores in memory: whose they are, how long they live, and what they forget."""

from __future__ import annotations

import gc
import os
import weakref
from contextlib import closing

import pytest

from concordant.clock import ManualClock
from concordant.drivers import registry
from concordant.drivers.base import LockStore
from concordant.drivers.memory.locks import LockTable, MemoryLockStore
from concordant.errors import BackendUnavailable, UsageError
from concordant.locking.names import new_client, owner_id
from concordant.locking.operations import Acquire, Busy, Granted, Inspect, Release, View
from concordant.transactions.operations import OpenOwner, OwnerOpened

TTL_MS = 30_000


def grab(store: LockStore, name: str, owner: str = "") -> int:
    [result] = store.apply([Acquire(name, owner or owner_id(new_client(), 1), TTL_MS)])
    assert isinstance(result, Granted), result
    return result.fence


def use(store: LockStore, name: str) -> int:
    owner = owner_id(new_client(), 1)
    fence = grab(store, name, owner)
    store.apply([Release(name, owner, fence)])
    return fence


def test_a_name_is_one_store_for_all_who_hold_it() -> None:
    with (
        closing(registry.lock_store("memory://shared-one")) as first,
        closing(registry.lock_store("memory://shared-one")) as second,
        closing(registry.lock_store("memory://shared-two")) as other,
    ):
        grab(first, "a")
        [result] = second.apply([Acquire("a", "o.1", TTL_MS)])
        assert isinstance(result, Busy)
        grab(other, "a")


def test_a_store_lives_as_long_as_somebody_holds_it() -> None:
    url = "memory://lasting"
    first, second = registry.lock_store(url), registry.lock_store(url)
    grab(first, "a")
    first.close()
    third = registry.lock_store(url)
    assert third.names() == second.names() == ["a"]
    second.close()
    third.close()
    del second, third
    gc.collect()
    with closing(registry.lock_store(url)) as anew:
        assert anew.names() == []


def test_a_log_lives_as_long_as_somebody_holds_it() -> None:
    url = "memory://lasting"
    first, second = registry.transaction_log(url), registry.transaction_log(url)
    [opened] = first.apply([OpenOwner("owner001", TTL_MS)])
    assert isinstance(opened, OwnerOpened)
    first.close()
    assert second.apply([OpenOwner("owner001", TTL_MS)]) == [OwnerOpened(opened.log_id, 2)]
    second.close()
    del first, second
    gc.collect()
    with closing(registry.transaction_log(url)) as anew:
        [again] = anew.apply([OpenOwner("owner001", TTL_MS)])
        assert isinstance(again, OwnerOpened)
        assert (again.epoch, again.log_id == opened.log_id) == (1, False)


@pytest.mark.parametrize("url", ["memory://a/b", "memory://a?b=c", "memory://user@a"])
def test_a_memory_url_is_a_name_alone(url: str) -> None:
    for make in (registry.lock_store, registry.transaction_log):
        with pytest.raises(UsageError):
            make(url)


def test_a_closed_handle_says_so() -> None:
    store, log = registry.lock_store("memory://closed"), registry.transaction_log("memory://closed")
    stream = store.hints(new_client())
    for one in (store, log):
        one.close()
        one.close()
        with pytest.raises(UsageError, match="closed"):
            one.apply([])
    with pytest.raises(UsageError, match="closed"):
        store.names()
    with pytest.raises(BackendUnavailable, match="closed"):
        stream.get(0.0)


def test_a_forked_child_is_told_that_it_shares_nothing() -> None:
    store, log = registry.lock_store("memory://fork"), registry.transaction_log("memory://fork")
    child = os.fork()
    if child == 0:
        told = 0
        for one in (store, log):
            try:
                one.apply([])
            except UsageError as error:
                told += "forked child" in str(error)
        os._exit(0 if told == 2 else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    store.close()
    log.close()


def test_every_stream_of_a_client_receives_its_hints() -> None:
    client, holder = new_client(), owner_id(new_client(), 1)
    waiter = owner_id(client, 1)
    with closing(registry.lock_store("memory://streams")) as store:
        streams = [store.hints(client) for _ in range(2)]
        closed = store.hints(client)
        closed.close()
        fence = grab(store, "a", holder)
        store.apply([Acquire("a", waiter, TTL_MS, wait=True), Release("a", holder, fence)])
        assert [[hint.owner for hint in one.get(10.0)] for one in streams] == [[waiter]] * 2
        # A closed one is not kept, nor filled for ever.
        gone = weakref.ref(closed)
        del closed
        gc.collect()
        assert gone() is None


def test_time_is_the_clock_that_was_given() -> None:
    clock = ManualClock()
    store = MemoryLockStore(LockTable(clock))
    grab(store, "a")
    clock.jump_wall_s(TTL_MS / 1000)
    assert store.names() == ["a"]
    clock.advance_s(TTL_MS / 1000)
    assert store.names() == []
    grab(store, "a")


def test_names_no_longer_used_are_forgotten_but_for_their_fences() -> None:
    clock = ManualClock()
    table = LockTable(clock)
    store = MemoryLockStore(table)
    fence = use(store, "a")
    clock.jump_wall_s(-1e6)
    holder = owner_id(new_client(), 1)
    held = grab(store, "held", holder)
    for number in range(5000):
        use(store, f"job-{number}")
    [seen] = store.apply([Inspect("a")])
    assert isinstance(seen, View)
    assert seen.fence == 0, "it was not forgotten, so this test shows nothing"
    assert use(store, "a") > fence
    [view] = store.apply([Inspect("held")])
    assert isinstance(view, View)
    assert [(one.owner, one.fence) for one in view.holders] == [(holder, held)]
