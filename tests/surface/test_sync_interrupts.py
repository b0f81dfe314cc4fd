"""Ctrl-C at every step of an acquisition: nothing is left behind, and the others go on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from concordant import Client, LockLost, LockTimeout, OutcomeUnknown
from concordant.locking.operations import Acquire, Cancel, Confirm, Release
from tests.surface.choice import on_memory
from tests.surface.faults import Faults
from tests.surface.interrupting import PARTS, THREADING, interrupted_at, places_of
from tests.surface.sync.standing import holders, until_free, waiters
from tests.surface.together import Background, eventually

STEPS_MAX = 3000
STARTING = ("session", THREADING)
STARTERS = {"Listener.start", "Keeper._attend", "Thread.start", "Event.wait"}
STARTERS |= {"Condition.__enter__"}


@contextmanager
def clients(url: str) -> Iterator[tuple[Client, Client]]:
    with Client(url) as one, Client(url) as other:
        # Both listen before it begins, as they do in the long run.
        with other.lock("warm-up"), pytest.raises(LockTimeout):
            one.lock("warm-up").acquire(timeout_s=0.01)
        yield one, other


def sweep(call: Callable[[], object], see: Callable[[str], None], stride: int = 1) -> None:
    """Interrupt the call at each of its steps, and look at what is left after each."""
    for at in range(1, STEPS_MAX, stride):
        where = interrupted_at(at, call, (*PARTS, THREADING))
        see(where)
        if not where:
            break
    assert 30 < at < STEPS_MAX


def take(client: Client, *names: str) -> None:
    with client.locks(names) as leases:
        leases.check()


def take_one(client: Client, name: str) -> None:
    with client.lock(name) as lease:
        lease.check()


def take_by_hand(client: Client, name: str) -> None:
    lease = client.lock(name).acquire()
    lease.release()


def take_several_by_hand(client: Client, name: str) -> None:
    leases = client.locks([name, "b"]).acquire()
    leases.release()


@pytest.mark.parametrize("call", [take_one, take, take_by_hand, take_several_by_hand])
def test_acquiring_and_releasing_alone(lock_url: str, call: Callable[..., None]) -> None:
    with clients(lock_url) as (one, other):

        def see(where: str) -> None:
            until_free(other, "a")
            with other.lock("a", timeout_s=0):
                pass

        sweep(partial(call, one, "a"), see)


@on_memory
def test_taking_several(lock_url: str) -> None:
    with clients(lock_url) as (one, other):

        def see(where: str) -> None:
            for name in ("a", "b"):
                until_free(other, name)

        sweep(partial(take, one, "a", "b"), see)


@on_memory
@pytest.mark.parametrize("names", ["a", "b", "ab"])
def test_waiting_for_another(lock_url: str, names: str) -> None:
    with clients(lock_url) as (one, other):
        held = other.lock("b" if "b" in names else "a").acquire()

        def wait() -> None:
            with pytest.raises(LockTimeout):
                one.locks(list(names), timeout_s=0.002).acquire()

        def see(where: str) -> None:
            eventually(lambda: waiters(other, held.name) == [])
            assert holders(other, held.name) == [held.owner]
            if names == "ab":
                until_free(other, "a")

        sweep(wait, see)
        held.release()


@pytest.mark.parametrize("inside", [False, True])
def test_being_handed_the_lock_meanwhile(lock_url: str, inside: bool) -> None:
    with clients(lock_url) as (one, other):
        holder = one if inside else other

        def hold_until_one_waits(ended: list[bool]) -> None:
            with holder.lock("a"):
                ready.append(True)
                eventually(lambda: bool(ended or waiters(other, "a")))

        at = 0
        while at < STEPS_MAX:
            # Not every step, since each needs a thread; another set of them at each run.
            at += 1 + at % 7
            ready: list[bool] = []
            ended: list[bool] = []
            holding = Background(partial(hold_until_one_waits, ended))
            eventually(lambda ready=ready: bool(ready))
            where = interrupted_at(at, partial(take_one, one, "a"))
            ended.append(True)
            holding.result()
            until_free(other, "a")
            if not where:
                break
        assert 30 < at < STEPS_MAX


def first_use(client: Client) -> None:
    with pytest.raises(LockTimeout):
        client.lock("a", timeout_s=0.002).acquire()
    take_one(client, "b")


@pytest.mark.slow
@on_memory
def test_the_very_first_use_of_a_client(lock_url: str, faulty_url: str, faults: Faults) -> None:
    # Threads are started and channels opened then; a half of that must not be taken for all.
    with Client(lock_url) as other:
        held = other.lock("a").acquire()
        with Client(lock_url) as fresh:
            places = places_of(partial(first_use, fresh), STARTING)
        starting = [at for at, name in enumerate(places, 1) if name in STARTERS]
        assert {places[at - 1] for at in starting} == STARTERS
        for at in starting:
            with Client(faulty_url) as fresh:
                assert interrupted_at(at, partial(first_use, fresh), STARTING)
                eventually(lambda: waiters(other, "a") == [])
                until_free(other, "b")
                # It can still be told of a grant,
                waiting = Background(fresh.lock("a").acquire)
                eventually(lambda: len(waiters(other, "a")) == 1)
                held.release()
                lease = waiting.result()
                assert isinstance(faults.of(lease.owner)[-1], Confirm)
                # and do in the background what it must.
                faults.on("refused", Release)
                with pytest.raises(OutcomeUnknown):
                    lease.release()
                until_free(other, "a")
            held = other.lock("a").acquire()


def take_in_vain(client: Client, name: str) -> None:
    with pytest.raises(LockTimeout):
        client.lock(name).acquire(timeout_s=0.02)


ASKING: dict[type, list[Callable[[Client, str], None]]] = {
    Acquire: [take_one, take_by_hand, take_several_by_hand, take_in_vain],
    Release: [take_one, take_by_hand, take_several_by_hand],
    Cancel: [take_in_vain],
}


@pytest.mark.parametrize("how", ["interrupted", "interrupted-after"])
@pytest.mark.parametrize("kind", ASKING)
def test_ctrl_c_while_the_store_is_asked(
    lock_url: str, faulty_url: str, faults: Faults, how: Any, kind: type
) -> None:
    with Client(faulty_url) as one, Client(lock_url) as other:
        for call in ASKING[kind]:
            held = other.lock("a").acquire() if call is take_in_vain else None
            rule = faults.on(how, kind)
            with pytest.raises(KeyboardInterrupt):
                call(one, "a")
            assert rule.hits == 1
            eventually(lambda: waiters(other, "a") == [])
            if held is not None:
                held.release()
            until_free(other, "a")
            until_free(other, "b")
            take_one(one, "a")


def test_ctrl_c_while_it_waits(lock_url: str) -> None:
    with clients(lock_url) as (one, other):
        for call in (take_one, take_several_by_hand):
            held = other.lock("a").acquire()

            def strike() -> None:
                eventually(lambda: len(waiters(other, "a")) == 1)
                main = threading.main_thread().ident
                assert main is not None
                signal.pthread_kill(main, signal.SIGINT)

            striking = Background(strike)
            with pytest.raises(KeyboardInterrupt):
                call(one, "a")
            striking.result()
            eventually(lambda: waiters(other, "a") == [])
            held.release()
            until_free(other, "b")
            take_one(one, "a")


def test_what_no_code_can_catch_is_given_back_with_the_client(lock_url: str) -> None:
    with Client(lock_url) as other:
        with Client(lock_url) as client:
            lease = client.lock("a").acquire()
        with pytest.raises(LockLost):
            lease.check()
        assert holders(other, "a") == []
