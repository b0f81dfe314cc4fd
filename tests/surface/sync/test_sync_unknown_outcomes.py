# Generated from tests/surface/aio/test_aio_unknown_outcomes.py by tools/unasync.py; do not edit.
"""Replies that are lost, requests that come late, stores that refuse: it comes right again."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from concordant import BackendUnavailable, Client, LockTimeout, OutcomeUnknown
from concordant.locking import limits
from concordant.locking.operations import (
    Acquire,
    Cancel,
    Confirm,
    Lost,
    Refused,
    Release,
    Renew,
)
from tests.provision.bridge import sleep
from tests.surface.choice import on_memory
from tests.surface.faults import Faults
from tests.surface.sync.standing import holders, until_free, until_waiting, waiters
from tests.surface.together import Background, eventually, together

# Sooner than a waiter asks again that was told nothing.
SOONER_S = 0.75 * limits.RETRY_STEP_MS / 1000


def test_a_lost_reply_to_an_acquire_is_asked_for_again(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    lost = faults.on("lost", Acquire)
    with faulty_client.lock("a") as lease:
        assert lost.hits == 1
        # Under the same id, so that it is one holder.
        assert [type(item) for item in faults.of(lease.owner)] == [Acquire, Acquire]
        [holder] = (client.inspect("a")).holders
        assert (holder.owner, holder.fence) == (lease.owner, lease.fence)
    assert holders(client, "a") == []


def test_a_store_that_refuses_an_acquire_is_told(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    for names in (["a"], ["a", "b"]):
        rule = faults.on("refused", Acquire)
        with pytest.raises(BackendUnavailable):
            faulty_client.locks(names).acquire()
        assert rule.hits == 1
    faults.on("refused", Acquire)
    with pytest.raises(BackendUnavailable):
        faulty_client.lock("a").acquire()
    with faulty_client.locks(["a", "b"]):
        pass
    assert client.names() == []


@on_memory
def test_what_nobody_knows_of_is_taken_back(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    for acquire in (faulty_client.lock("a").acquire, faulty_client.locks(["a", "b"]).acquire):
        rule = faults.on("lost", Acquire, times=1000)
        other = faults.on("refused", Cancel, times=3)
        with pytest.raises(BackendUnavailable, match="withdrawn"):
            acquire()
        rule.end()
        for name in ("a", "b"):
            until_free(client, name)
        assert other.hits == 3


def test_a_request_that_comes_after_the_release_is_refused(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    late = faults.on("late", Acquire)
    with faulty_client.lock("a"):
        assert late.hits == 1
    assert [type(result) for result in faults.deliver_late()] == [Refused]
    assert holders(client, "a") == []


def test_a_request_that_comes_after_the_timeout_is_refused(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    held = client.lock("a").acquire()
    with pytest.raises(LockTimeout):  # which makes it listen
        faulty_client.lock("a").acquire(timeout_s=0.01)
    late = faults.on("late", Acquire)
    with pytest.raises(LockTimeout):
        faulty_client.lock("a").acquire(timeout_s=0.3)
    assert late.hits == 1
    assert waiters(client, "a") == []
    held.release()
    assert [type(result) for result in faults.deliver_late()] == [Refused]
    assert holders(client, "a") == []


def test_a_request_for_several_that_comes_late_is_refused(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    faults.on("late", Acquire)
    with pytest.raises(BackendUnavailable):
        faulty_client.locks(["a", "b"]).acquire()
    assert [type(result) for result in faults.deliver_late()] == [Refused, Refused]
    assert client.names() == []


@pytest.mark.parametrize("how", ["refused", "lost", "late"])
def test_a_release_without_a_reply_is_done_in_the_background(
    faulty_client: Client, client: Client, faults: Faults, how: str
) -> None:
    rule = faults.on(how, Release)
    lease = faulty_client.lock("a").acquire()
    with pytest.raises(OutcomeUnknown, match="background"):
        lease.release()
    with client.lock("a", timeout_s=10) as second:
        # What comes late finds another owner there, and leaves it alone.
        assert all(isinstance(result, Lost) for result in faults.deliver_late())
        second.check()
        assert holders(client, "a") == [second.owner]
    # The body held the lock all the time, so for it nothing went wrong.
    faults.on(how, Release)
    with faulty_client.locks(["a", "b"]):
        pass
    until_free(client, "a")
    until_free(client, "b")
    assert rule.hits == 1


def test_a_release_is_tried_in_the_background_until_it_is_done(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    refused = faults.on("refused", Release, Cancel, times=3)
    lease = faulty_client.lock("a").acquire()
    with pytest.raises(OutcomeUnknown):
        lease.release()
    until_free(client, "a")
    assert refused.hits == 3


def test_a_release_that_meets_a_renewal_on_its_way_is_done(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    renewal = faults.on("slow", Renew)
    refused = faults.on("refused", Release)
    lease = faulty_client.lock("a", ttl_s=3).acquire()
    while renewal.hits == 0:
        sleep(0.02)
    with pytest.raises(OutcomeUnknown):
        lease.release()
    sleep(0.05)
    renewal.end()
    # In less than the TTL, which would end it anyway.
    with client.lock("a", timeout_s=1.5):
        assert refused.hits == 1


def test_a_lost_reply_to_a_release_hides_no_hand_over(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    lease = faulty_client.lock("a").acquire()
    waiting = Background(faulty_client.lock("a").acquire)
    until_waiting(client, "a", 1)
    # It was handed over inside the client, and the reply would have told.
    faults.on("lost", Release)
    begun = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        lease.release()
    second = waiting.result()
    assert time.monotonic() - begun < SOONER_S
    assert holders(client, "a") == [second.owner]
    assert isinstance(faults.of(second.owner)[-1], Acquire)
    second.release()


@pytest.mark.parametrize("how", ["refused", "lost", "late"])
def test_a_confirmation_without_a_reply_makes_the_waiter_ask(
    faulty_client: Client, client: Client, faults: Faults, how: str
) -> None:
    lease = client.lock("a").acquire()
    waiting = Background(faulty_client.lock("a").acquire)
    until_waiting(client, "a", 1)
    rule = faults.on(how, Confirm)
    begun = time.monotonic()
    lease.release()
    second = waiting.result()
    assert time.monotonic() - begun < SOONER_S
    assert rule.hits == 1
    assert [type(item) for item in faults.of(second.owner)[-2:]] == [Confirm, Acquire]
    [holder] = (client.inspect("a")).holders
    assert (holder.owner, holder.fence, holder.confirmed) == (second.owner, second.fence, True)
    second.release()
    assert all(isinstance(result, Lost) for result in faults.deliver_late())
    assert holders(client, "a") == []


def test_a_late_renewal_does_not_bring_a_lease_back(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    late = faults.on("late", Renew)
    lease = faulty_client.lock("a", ttl_s=1).acquire()
    while late.hits == 0:
        sleep(0.01)
    lease.release()
    with client.lock("a") as second:
        assert [type(result) for result in faults.deliver_late()] == [Lost]
        assert holders(client, "a") == [second.owner]


@pytest.mark.parametrize("how", ["refused", "lost"])
def test_a_waiter_that_gives_up_leaves_the_queue_in_the_end(
    faulty_client: Client, client: Client, faults: Faults, how: str
) -> None:
    with client.lock("a") as held:
        rule = faults.on(how, Cancel, times=2)
        with pytest.raises(LockTimeout):
            faulty_client.lock("a").acquire(timeout_s=0.05)
        until_waiting(client, "a", 0)
        while rule.hits < 2:
            sleep(0.01)
        assert holders(client, "a") == [held.owner]


def test_an_outage_does_not_cost_a_waiter_its_place(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    # A short lease, since a waiter asks again when it would end, at the latest.
    held = client.lock("a", ttl_s=1).acquire()
    first = Background(faulty_client.lock("a").acquire)
    until_waiting(client, "a", 1)
    second = Background(client.lock("a").acquire)
    until_waiting(client, "a", 2)
    order = waiters(client, "a")
    # Its channel breaks and its requests fail, so that it asks again and again.
    rules = [faults.on("refused", Acquire, times=2), faults.on("lost", Acquire, times=2)]
    faults.closed_to_hints = True
    faults.break_channels()
    asked = len(faults.seen)
    while len(faults.seen) == asked:
        sleep(0.01)
    sleep(0.05)
    assert waiters(client, "a") == order
    faults.closed_to_hints = False
    while any(rule.hits < 2 for rule in rules):
        sleep(0.01)
    assert waiters(client, "a") == order
    held.release()
    lease = first.result()
    assert lease.owner == order[0]
    assert not second.done
    lease.release()
    (second.result()).release()


def test_hints_that_are_lost_cost_time_alone(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    faults.deaf = True
    held = client.lock("a", ttl_s=1).acquire()
    waiting = Background(faulty_client.lock("a").acquire)
    until_waiting(client, "a", 1)
    held.release()
    lease = waiting.result()
    assert lease.fence > held.fence
    assert not any(isinstance(item, Confirm) for item in faults.of(lease.owner))
    lease.release()


def test_a_channel_that_broke_is_opened_again_and_all_ask(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    held = [client.lock(f"n{number}").acquire() for number in range(4)]
    waiting = [Background(faulty_client.lock(f"n{number}").acquire) for number in range(4)]
    for number in range(4):
        until_waiting(client, f"n{number}", 1)
    faults.closed_to_hints = True
    faults.break_channels()
    # Handed over while nobody listens.
    for lease in held:
        lease.release()
    opened = faults.streams_opened
    begun = time.monotonic()
    faults.closed_to_hints = False
    for each in waiting:
        (each.result()).release()
    assert time.monotonic() - begun < SOONER_S
    assert faults.streams_opened > opened


@on_memory
def test_who_cannot_listen_yet_asks_now_and_then(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    held = client.lock("a").acquire()
    with pytest.raises(LockTimeout):
        faulty_client.lock("a").acquire(timeout_s=0.01)
    faults.closed_to_hints = True
    faults.break_channels()
    sleep(0.05)
    asked = len(faults.seen)
    waiting = Background(faulty_client.lock("a").acquire)
    sleep(0.5)
    # Ten times a second, and no busy loop.
    assert 1 <= len(faults.seen) - asked <= 10
    faults.closed_to_hints = False
    held.release()
    (waiting.result()).release()


@on_memory
def test_a_channel_that_breaks_again_and_again_is_no_busy_loop(
    faulty_client: Client, client: Client, faults: Faults
) -> None:
    with client.lock("a"):
        waiting = Background(partial(faulty_client.lock("a").acquire, timeout_s=0.8))
        until_waiting(client, "a", 1)
        opened = faults.streams_opened
        for _ in range(60):
            faults.break_channels()
            sleep(0.01)
        assert 1 <= faults.streams_opened - opened <= 10
        with pytest.raises(LockTimeout):
            waiting.result()


@pytest.mark.parametrize("how", ["refused", "lost", "late"])
def test_every_operation_may_fail_once_and_exclusion_holds(
    faulty_url: str, open_client: Callable[[], Client], faults: Faults, how: str
) -> None:
    inside = 0
    taken = 0

    def work(user: Client) -> None:
        nonlocal inside, taken
        # A grant has to be confirmed only when it comes from another client, which is chance.
        for turn in range(200):
            if turn >= 6 and all(rule.hits for rule in rules):
                break
            try:
                with user.lock("a", ttl_s=5, timeout_s=15):
                    inside += 1
                    assert inside == 1
                    sleep(0.002)
                    taken += 1
                    inside -= 1
            except BackendUnavailable:
                continue

    onlooker = open_client()
    rules = [faults.on(how, kind, times=3) for kind in (Acquire, Release, Confirm)]
    with Client(faulty_url) as one, Client(faulty_url) as two:
        users = [one, two, one, two, onlooker]
        together([partial(work, user) for user in users])
        assert all(rule.hits for rule in rules)
        assert taken >= 30 - 3 - 3
        faults.deliver_late()
        until_free(onlooker, "a")

        def all_settled() -> bool:
            return not one._session.still_held() and not two._session.still_held()

        eventually(all_settled)
