# Generated from tests/surface/aio/test_aio_loss.py by tools/unasync.py; do not edit.
"""Leases that are lost: whoever holds one learns of it in time, and by every way there is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from concordant import Client, LockLost
from concordant.drivers.urls import mask
from concordant.locking.operations import Acquire, Confirm, Release, Renew
from concordant.sync.lease import Lease
from tests.provision.bridge import sleep
from tests.surface.choice import on_memory
from tests.surface.faults import Faults
from tests.surface.sync.standing import holders, until_waiting
from tests.surface.together import Background, eventually

# For leases that are to be lost.
TTL_S = 0.5
# For leases that are to be kept, on a busy machine too.
KEPT_TTL_S = 1.5


class News:
    """What a callback was told, and when."""

    def __init__(self) -> None:
        self.told: list[float] = []

    def __call__(self) -> None:
        """Take the news."""
        self.told.append(time.monotonic())

    def came(self) -> bool:
        """Tell whether there was any."""
        return bool(self.told)


def test_a_lease_is_kept_while_its_holder_lives(
    client: Client, open_client: Callable[[], Client]
) -> None:
    news = News()
    with client.lock("a", ttl_s=KEPT_TTL_S) as lease:
        lease.on_lost(news)
        for _ in range(6):
            sleep(KEPT_TTL_S / 4)
            lease.check()
            assert lease.remaining_s > 0
        [holder] = (open_client().inspect("a")).holders
        assert (holder.owner, holder.fence) == (lease.owner, lease.fence)
    sleep(0.1)
    assert news.told == []


def test_a_lease_that_was_broken_is_lost(
    client: Client, open_client: Callable[[], Client], lock_url: str
) -> None:
    news = News()
    lease = client.lock("a", ttl_s=TTL_S).acquire()
    lease.on_lost(news)
    assert open_client().break_lock("a") == 1
    eventually(news.came)
    assert lease.lost
    assert lease.remaining_s == 0
    assert "lost" in repr(lease)
    with pytest.raises(LockLost, match="'a'"):
        lease.check()
    with pytest.raises(LockLost, match="broken") as raised:
        lease.release()
    said = str(raised.value)
    assert said.startswith(f"the lease on 'a' at {mask(lock_url)} (fence {lease.fence}) is over: ")
    assert said.endswith("stop acting as its holder")
    sleep(TTL_S)
    assert len(news.told) == 1


@pytest.mark.parametrize("how", ["refused", "hung", "late"])
def test_a_lease_that_cannot_be_renewed_is_lost_in_time(
    faulty_client: Client, client: Client, faults: Faults, how: str
) -> None:
    news = News()
    faults.on(how, Renew, times=1000)
    lease = faulty_client.lock("a", ttl_s=TTL_S).acquire()
    begun = time.monotonic()
    lease.on_lost(news)
    # A store that hangs never answers while this waits: the news must not depend on it.
    eventually(news.came)
    assert lease.lost
    # By its own clock first, then by the store's.
    with client.lock("a", timeout_s=10) as second:
        assert second.fence > lease.fence
        assert news.told[0] <= time.monotonic()
    assert news.told[0] - begun < 4 * TTL_S
    faults.end()
    with pytest.raises(LockLost):
        lease.release()
    assert len(news.told) == 1


@on_memory
def test_renewals_that_fail_for_a_while_lose_nothing(faulty_client: Client, faults: Faults) -> None:
    refused = faults.on("refused", Renew, times=2)
    with faulty_client.lock("a", ttl_s=0.6) as lease:
        while refused.hits < 2:
            sleep(0.01)
        lost = faults.on("lost", Renew, times=2)
        while lost.hits < 2:
            sleep(0.01)
        sleep(0.6)
        lease.check()
        assert holders(faulty_client, "a") == [lease.owner]


def test_a_body_whose_lease_was_lost_ends_with_it(
    client: Client, open_client: Callable[[], Client]
) -> None:
    other = open_client()

    def body() -> None:
        with client.lock("a", ttl_s=TTL_S) as lease:
            other.break_lock("a")
            while not lease.lost:
                sleep(0.01)

    with pytest.raises(LockLost, match="'a'"):
        body()
    with other.lock("a", timeout_s=0):
        pass


@on_memory
def test_what_the_body_raises_goes_before_the_loss(
    client: Client, open_client: Callable[[], Client]
) -> None:
    other = open_client()

    def body() -> None:
        with client.lock("a", ttl_s=TTL_S) as lease:
            other.break_lock("a")
            try:
                while not lease.lost:
                    sleep(0.01)
            finally:
                raise RuntimeError("of its own")

    with pytest.raises(RuntimeError, match="of its own"):
        body()


def test_a_loss_that_nobody_noticed_shows_at_the_exit(
    client: Client, open_client: Callable[[], Client]
) -> None:
    other = open_client()

    def body() -> None:
        with client.lock("a", ttl_s=30) as lease:
            other.break_lock("a")
            assert not lease.lost

    with pytest.raises(LockLost):
        body()
    with pytest.raises(LockLost, match="'b'"):
        with client.locks(["a", "b", "c"]):
            other.break_lock("b")
    assert client.names() == []


@on_memory
def test_a_reentrant_lock_is_not_entered_again_when_lost(
    client: Client, open_client: Callable[[], Client]
) -> None:
    other = open_client()
    lock = client.lock("a", ttl_s=TTL_S, reentrant=True)
    inside = False

    def body() -> None:
        nonlocal inside
        with lock as lease:
            other.break_lock("a")
            time.sleep(TTL_S)
            assert lease.lost
            with lock:
                inside = True

    with pytest.raises(LockLost):
        body()
    assert not inside
    with lock as again:
        again.check()


@on_memory
def test_who_asks_after_the_loss_is_told_at_once(
    client: Client, open_client: Callable[[], Client]
) -> None:
    first, second = News(), News()
    lease = client.lock("a", ttl_s=TTL_S).acquire()
    lease.on_lost(first)
    open_client().break_lock("a")
    eventually(first.came)
    lease.on_lost(second)
    assert len(second.told) == 1


@on_memory
def test_a_callback_that_fails_or_blocks_hurts_no_other_lease(
    client: Client, open_client: Callable[[], Client]
) -> None:
    blocked, released = threading.Event(), threading.Event()
    news = News()

    def fail() -> None:
        raise RuntimeError("of the callback")

    def block() -> None:
        blocked.set()
        released.wait(20)

    doomed = client.lock("a", ttl_s=TTL_S).acquire()
    doomed.on_lost(fail)
    doomed.on_lost(news)
    doomed.on_lost(block)
    with client.lock("b", ttl_s=KEPT_TTL_S) as lease:
        open_client().break_lock("a")
        while not blocked.is_set():
            sleep(0.01)
        sleep(1.5 * KEPT_TTL_S)
        lease.check()
        assert len(news.told) == 1
        released.set()
    with pytest.raises(LockLost):
        doomed.release()


def own_deadline_is_not_later(client: Client, lease: Lease) -> None:
    """See that the lease ends by its holder's clock before it does by the store's."""
    begun, remaining_s = time.monotonic(), lease.remaining_s
    [holder] = (client.inspect("a")).holders
    assert holder.confirmed
    # What the store says may be as old as the request that asked for it.
    assert remaining_s - (time.monotonic() - begun) <= holder.remaining_ms / 1000


# For how long a reply is held back, by which the holder's end would be too late.
SLOW_S = 0.3


def test_the_deadline_counts_from_before_the_request(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    slow = faults.on("slow", Acquire)
    acquiring = Background(faulty_client.lock("a", ttl_s=2).acquire)
    sleep(SLOW_S)
    slow.end()
    lease = acquiring.result()
    own_deadline_is_not_later(client, lease)
    slow = faults.on("slow", Renew)
    while slow.hits == 0:
        sleep(0.01)
    sleep(SLOW_S)
    before_s = lease.remaining_s
    slow.end()
    while lease.remaining_s <= before_s:
        sleep(0.001)
    own_deadline_is_not_later(client, lease)
    lease.release()


def test_the_deadline_of_a_grant_that_was_handed_over_is_not_later(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    first = client.lock("a").acquire()
    waiting = Background(faulty_client.lock("a", ttl_s=2).acquire)
    until_waiting(client, "a", 1)
    slow = faults.on("slow", Confirm)
    first.release()
    while slow.hits == 0:
        sleep(0.005)
    sleep(SLOW_S)
    slow.end()
    second = waiting.result()
    own_deadline_is_not_later(client, second)
    # And inside a client, where the reply to the release brings it.
    waiting = Background(faulty_client.lock("a", ttl_s=2).acquire)
    until_waiting(client, "a", 1)
    slow = faults.on("slow", Release)
    releasing = Background(second.release)
    while slow.hits == 0:
        sleep(0.005)
    sleep(SLOW_S)
    slow.end()
    releasing.result()
    third = waiting.result()
    own_deadline_is_not_later(client, third)
    third.release()


@on_memory
def test_many_leases_are_renewed_in_few_batches(faulty_client: Client, faults: Faults) -> None:
    news = News()
    leases = faulty_client.locks([f"n{number}" for number in range(30)], ttl_s=0.4).acquire()
    single = [Background(partial(faulty_client.lock(f"m{i}", 0.4).acquire)) for i in range(10)]
    singles = [each.result() for each in single]
    for lease in (*leases.values(), *singles):
        lease.on_lost(news)
    sleep(1.0)
    leases.check()
    renewals = [batch for batch in faults.batches if isinstance(batch[0], Renew)]
    assert sum(len(batch) for batch in renewals) >= 3 * 40
    assert len(renewals) <= sum(len(batch) for batch in renewals) / 10
    leases.release()
    for lease in singles:
        lease.release()
    assert news.told == []
