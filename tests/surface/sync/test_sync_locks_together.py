# Generated from tests/surface/aio/test_aio_locks_together.py by tools/unasync.py; do not edit.
"""Several locks at once: all or none, and never a deadlock among themselves."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial

import pytest

from concordant import Client, LockLost, LockTimeout, UsageError
from tests.provision.bridge import sleep
from tests.surface.sync.standing import holders, until_free, until_waiting
from tests.surface.together import Background, together


def test_all_are_held_and_all_given_back(client: Client) -> None:
    with client.locks(["b", "a", "c"]) as leases:
        assert list(leases) == ["a", "b", "c"]
        assert len(leases) == 3
        leases.check()
        for name, lease in leases.items():
            assert lease.name == name
            assert holders(client, name) == [lease.owner]
    assert client.names() == []
    with pytest.raises(LockLost):
        leases.check()


def test_acquire_and_release_of_several(client: Client) -> None:
    leases = client.locks(["a", "b"]).acquire()
    assert client.names() == ["a", "b"]
    leases.release()
    assert client.names() == []
    with pytest.raises(LockLost):
        leases.release()


@pytest.mark.parametrize("held", ["a", "b", "c"])
@pytest.mark.parametrize("timeout_s", [0, 0.1])
def test_all_or_none(
    client: Client, open_client: Callable[[], Client], held: str, timeout_s: float
) -> None:
    with open_client().lock(held) as other:
        begun = time.monotonic()
        with pytest.raises(LockTimeout):
            with client.locks(["a", "b", "c"], timeout_s=timeout_s):
                pass
        # One bound for all of them, with room for a busy machine.
        assert time.monotonic() - begun < 4 * timeout_s + 0.6
        assert client.names() == [held]
        view = client.inspect(held)
        assert [holder.owner for holder in view.holders] == [other.owner]
        assert view.waiters == ()


def test_a_timeout_tells_the_time_that_was_given_for_all(
    client: Client, open_client: Callable[[], Client]
) -> None:
    """The second lock is busy, so the first one has used some of the time up."""
    first = open_client().lock("a").acquire()
    with open_client().lock("b"):
        waiting = Background(client.locks(["a", "b"], timeout_s=0.5).acquire)
        until_waiting(client, "a", 1)
        first.release()
        with pytest.raises(LockTimeout) as raised:
            waiting.result()
        assert str(raised.value).partition(" at ")[0] == "'b' was not granted within 0.5 s"
        assert (client.inspect("b")).waiters == ()


def test_what_comes_after_a_busy_one_is_not_kept_meanwhile(
    client: Client, open_client: Callable[[], Client]
) -> None:
    lease = client.lock("b").acquire()
    waiting = Background(open_client().locks(["a", "b", "c"]).acquire)
    until_waiting(client, "b", 1)
    # Holding "c" here while waiting for "b" could deadlock with who goes the other way.
    with client.lock("c", timeout_s=0):
        pass
    with pytest.raises(LockTimeout):
        client.lock("a", timeout_s=0).acquire()
    lease.release()
    leases = waiting.result()
    leases.check()
    leases.release()


def test_crossing_orders_never_deadlock(client: Client, open_client: Callable[[], Client]) -> None:
    users = [client, open_client()]
    names = ["a", "b", "c", "d"]
    inside = dict.fromkeys(names, 0)
    done = 0

    def work(seed: int) -> None:
        nonlocal done
        chance = random.Random(seed)
        for _ in range(6):
            mine = chance.sample(names, chance.randint(1, 3))
            with users[seed % 2].locks(mine) as leases:
                for name in mine:
                    inside[name] += 1
                    assert inside[name] == 1
                sleep(0.001)
                leases.check()
                for name in mine:
                    inside[name] -= 1
                done += 1

    together([partial(work, seed) for seed in range(8)])
    assert done == 8 * 6
    for name in names:
        until_free(client, name)


def test_one_that_is_lost_is_told_and_the_rest_given_back(
    client: Client, open_client: Callable[[], Client]
) -> None:
    other = open_client()
    leases = client.locks(["a", "b", "c"]).acquire()
    other.break_lock("b")
    with pytest.raises(LockLost, match="'b'"):
        leases.release()
    assert client.names() == []


def test_more_than_one_batch_can_be_held(client: Client) -> None:
    leases = client.locks([f"n{number}" for number in range(256)]).acquire()
    more = client.locks([f"m{number}" for number in range(40)]).acquire()
    leases.release()
    assert len(client.names(limit=300)) == 40
    more.release()
    assert client.names() == []


def test_entering_several_again_in_their_own_body_is_an_error(client: Client) -> None:
    locks = client.locks(["a", "b"])
    with locks as leases:
        with pytest.raises(UsageError, match="this very"):
            with locks:
                pass
        leases.check()
    assert client.names() == []


@pytest.mark.parametrize("names", ["ab", [], ["a", "a"], ["a", ""], [f"{i}" for i in range(257)]])
def test_what_is_no_list_of_names_is_refused(client: Client, names: list[str]) -> None:
    with pytest.raises(UsageError):
        client.locks(names)
