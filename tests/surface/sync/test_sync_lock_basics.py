# Generated from tests/surface/aio/test_aio_lock_basics.py by tools/unasync.py; do not edit.
"""Locks as users hold them: who holds, who waits, in which order, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from concordant import Client, LockLost, LockTimeout, UsageError
from concordant.drivers.urls import mask
from concordant.locking.operations import Acquire, Confirm
from tests.provision.bridge import sleep
from tests.surface.faults import Faults
from tests.surface.sync.standing import holders, until_free, until_waiting
from tests.surface.together import Background, together


def test_a_body_holds_the_lock_and_gives_it_back(client: Client) -> None:
    with client.lock("a") as lease:
        assert lease.name == "a"
        assert 0 < lease.fence < 2**53
        assert not lease.lost
        assert 29 < lease.remaining_s <= 30
        lease.check()
        [holder] = (client.inspect("a")).holders
        assert (holder.owner, holder.fence) == (lease.owner, lease.fence)
    assert holders(client, "a") == []
    assert not lease.lost
    assert lease.remaining_s == 0
    with pytest.raises(LockLost, match="released"):
        lease.check()


def test_a_body_that_raises_gives_the_lock_back(client: Client) -> None:
    with pytest.raises(RuntimeError, match="of its own"):
        with client.lock("a"):
            raise RuntimeError("of its own")
    assert holders(client, "a") == []


def test_acquire_and_release(client: Client, open_client: Callable[[], Client]) -> None:
    lease = client.lock("a").acquire()
    with pytest.raises(LockTimeout):
        open_client().lock("a").acquire(timeout_s=0)
    lease.release()
    assert holders(client, "a") == []


def test_fences_rise_whoever_holds(client: Client, open_client: Callable[[], Client]) -> None:
    fences = []
    for user in [client, open_client(), client, open_client()]:
        with user.lock("a") as lease:
            fences.append(lease.fence)
    assert fences == sorted(set(fences))


def test_bodies_exclude_each_other_over_tasks_and_clients(
    client: Client, open_client: Callable[[], Client]
) -> None:
    inside = 0
    fences: list[int] = []

    def work(user: Client) -> None:
        nonlocal inside
        for _ in range(5):
            with user.lock("a") as lease:
                inside += 1
                assert inside == 1
                sleep(0.001)
                fences.append(lease.fence)
                inside -= 1

    users = [client, open_client(), open_client()]
    together([partial(work, user) for user in users for _ in range(4)])
    assert len(fences) == 60
    assert fences == sorted(set(fences))


def test_zero_only_tries(client: Client, open_client: Callable[[], Client]) -> None:
    with client.lock("a"):
        with pytest.raises(LockTimeout):
            open_client().lock("a", timeout_s=0).acquire()
        assert (client.inspect("a")).waiters == ()
    with open_client().lock("a", timeout_s=0):
        pass


@pytest.mark.parametrize("timeout_s", [0.05, 0.3])
def test_a_timeout_below_a_second_is_one(
    client: Client, open_client: Callable[[], Client], timeout_s: float
) -> None:
    other = open_client()
    with client.lock("a"):
        begun = time.monotonic()
        with pytest.raises(LockTimeout):
            with other.lock("a", timeout_s=timeout_s):
                pass
        took_s = time.monotonic() - begun
        # The bound is a total; four times as much leaves room for a busy machine.
        assert timeout_s <= took_s < 4 * timeout_s + 0.6
        assert (client.inspect("a")).waiters == ()


@pytest.mark.parametrize(
    ("timeout_s", "said"), [(0.05, "within 0.05 s"), (0, "at once"), (0.0, "at once")]
)
def test_a_timeout_names_the_lock_the_store_and_what_to_do(
    client: Client,
    open_client: Callable[[], Client],
    lock_url: str,
    timeout_s: float,
    said: str,
) -> None:
    with client.lock("a"):
        with pytest.raises(LockTimeout) as raised:
            open_client().lock("a").acquire(timeout_s=timeout_s)
    assert str(raised.value).startswith(f"'a' was not granted {said} at {mask(lock_url)}; ")
    assert "try later" in str(raised.value)


def test_a_timeout_does_not_begin_anew_at_each_predecessor(
    client: Client, open_client: Callable[[], Client]
) -> None:
    other = open_client()
    first = client.lock("a").acquire()

    def hold() -> None:
        with client.lock("a"):
            sleep(0.12)

    ahead = []
    for number in range(6):
        ahead.append(Background(hold))
        until_waiting(client, "a", number + 1)
    waiting = Background(partial(other.lock("a").acquire, timeout_s=0.25))
    first.release()
    # Each of them goes on in less than the timeout, all together take three times as long.
    with pytest.raises(LockTimeout):
        waiting.result()
    for each in ahead:
        each.result()
    until_free(client, "a")


def test_waiters_are_served_in_order(client: Client, open_client: Callable[[], Client]) -> None:
    users = [client, open_client(), open_client()]
    served: list[int] = []

    def wait(number: int) -> None:
        with users[number % 3].lock("a"):
            served.append(number)

    waiting = []
    with client.lock("a"):
        for number in range(9):
            waiting.append(Background(partial(wait, number)))
            until_waiting(client, "a", number + 1)
    for each in waiting:
        each.result()
    assert served == list(range(9))


def test_a_hand_over_to_another_client_is_told(
    client: Client, faulty_client: Client, faults: Faults
) -> None:
    lease = client.lock("a").acquire()
    waiting = Background(faulty_client.lock("a").acquire)
    until_waiting(client, "a", 1)
    lease.release()
    won = waiting.result()
    assert won.fence > lease.fence
    # Told by a hint, which it confirmed: nothing was asked again.
    sent = faults.of(won.owner)
    assert [type(item) for item in sent[-2:]] == [Acquire, Confirm]
    assert 1 <= sum(isinstance(item, Acquire) and item.wait for item in sent) <= 1
    won.release()


def test_a_hand_over_inside_a_client_needs_no_message(
    faulty_client: Client, faults: Faults
) -> None:
    lease = faulty_client.lock("a").acquire()
    waiting = Background(faulty_client.lock("a").acquire)
    until_waiting(faulty_client, "a", 1)
    faults.deaf = True
    lease.release()
    won = waiting.result()
    sent = faults.of(won.owner)
    assert not any(isinstance(item, Confirm) for item in sent)
    assert sum(isinstance(item, Acquire) and item.wait for item in sent) == 1
    won.release()


def test_a_holder_that_died_is_replaced_after_its_ttl(
    client: Client, faulty_client: Client, faults: Faults
) -> None:
    # As a process that was killed: it neither renews nor releases.
    dead = faulty_client.lock("a", ttl_s=0.4).acquire()
    rule = faults.on("refused", object, times=1000)
    begun = time.monotonic()
    with client.lock("a", timeout_s=10) as lease:
        assert lease.fence > dead.fence
        assert dead.lost
        assert time.monotonic() - begun < 4 * 0.4
    rule.end()


def test_releasing_twice_is_an_error(client: Client) -> None:
    lease = client.lock("a").acquire()
    lease.release()
    with client.lock("a") as second:
        with pytest.raises(LockLost, match="released already"):
            lease.release()
        assert holders(client, "a") == [second.owner]
    with pytest.raises(LockLost):
        lease.release()


def test_releasing_what_was_broken_is_an_error(
    client: Client, open_client: Callable[[], Client]
) -> None:
    lease = client.lock("a").acquire()
    other = open_client()
    assert other.break_lock("a") == 1
    with other.lock("a") as second:
        with pytest.raises(LockLost, match=r"fence \d+"):
            lease.release()
        assert holders(client, "a") == [second.owner]
    assert lease.lost


def test_breaking_takes_the_fence_that_is_meant(client: Client) -> None:
    with client.lock("a") as lease:
        assert client.break_lock("a", lease.fence - 1) == 0
        lease.check()
        assert holders(client, "a") == [lease.owner]
    lease = client.lock("a").acquire()
    assert client.break_lock("a", lease.fence) == 1
    assert holders(client, "a") == []


def test_onlookers_see_who_holds_and_who_waits(
    client: Client, open_client: Callable[[], Client]
) -> None:
    other = open_client()
    assert client.names() == []
    assert (client.inspect("a")).holders == ()
    lease = client.lock("a", ttl_s=5, note="migrating").acquire()
    waiting = Background(other.lock("a", note="next").acquire)
    until_waiting(client, "a", 1)
    with other.lock("b"):
        view = client.inspect("a")
        assert (view.name, view.fence, view.capacity) == ("a", lease.fence, 1)
        [holder] = view.holders
        assert (holder.note, holder.permits, holder.confirmed) == ("migrating", 1, True)
        assert 0 < holder.remaining_ms <= 5000
        assert [waiter.note for waiter in view.waiters] == ["next"]
        assert client.names() == ["a", "b"]
        assert client.names(after="a") == ["b"]
        assert client.names(limit=1) == ["a"]
    lease.release()
    (waiting.result()).release()
    assert client.names() == []
    client.ping()


def test_names_are_not_folded(client: Client, open_client: Callable[[], Client]) -> None:
    names = [f"lock-{number}" for number in range(200)]
    names += ["a", "A", " a", "a ", "a/b", "a:b", "a.b", "ä", "a\u0308", "é" * 255, "x" * 511]
    names += ["x" * 512, "x" * 511 + "y", "%61", "{a}", "*", "'; --", "🔒"]
    with client.locks(names) as leases:
        assert list(leases) == sorted(names)
        found = []
        while page := client.names(after=found[-1] if found else "", limit=100):
            found += page
        assert sorted(found) == sorted(names)
        with pytest.raises(LockTimeout):
            open_client().lock("x" * 511 + "y", timeout_s=0).acquire()
    assert client.names() == []


def test_two_objects_of_one_name_are_one_lock(client: Client) -> None:
    with client.lock("a"):
        with pytest.raises(LockTimeout):
            client.lock("a", timeout_s=0).acquire()


def test_entering_again_in_its_own_body_is_an_error(client: Client) -> None:
    lock = client.lock("a")
    with lock as lease:
        with pytest.raises(UsageError, match="reentrant"):
            with lock:
                pass
        lease.check()
        assert holders(client, "a") == [lease.owner]
    assert holders(client, "a") == []


def test_a_reentrant_lock_counts_its_entries(client: Client) -> None:
    lock = client.lock("a", reentrant=True)
    with lock as lease:
        with lock as inner:
            with lock:
                assert inner is lease
            assert holders(client, "a") == [lease.owner]
        lease.check()
        assert holders(client, "a") == [lease.owner]
    assert holders(client, "a") == []


@pytest.mark.parametrize("reentrant", [False, True])
def test_one_object_serves_many_tasks_in_turn(client: Client, reentrant: bool) -> None:
    lock = client.lock("a", reentrant=reentrant)
    inside = 0

    def work() -> None:
        nonlocal inside
        for _ in range(5):
            with lock:
                inside += 1
                assert inside == 1
                sleep(0.001)
                inside -= 1

    together([work] * 5)
