"""The lock store's contract: who is told of a grant, and that nothing hangs on being told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from concordant.drivers.base import AsyncLockStore, HintStream, LockStore
from concordant.locking.operations import (
    Acquire,
    Break,
    Cancel,
    Confirm,
    Granted,
    Handed,
    Held,
    Hint,
    Inspect,
    Release,
    Released,
    Renew,
)
from tests.contract.aio.asking import TTL_MS, ask, grab, holders, look, queue
from tests.contract.parties import Party, strangers
from tests.provision.bridge import async_blocking

# Long enough for a busy machine; what comes, comes at once.
SOON_S = 10.0
# What does not come is waited for this long.
NOT_S = 0.2


class Ears:
    """Hint streams of several clients on one store."""

    def __init__(self, listener: LockStore, stack: ExitStack) -> None:
        self._listener = listener
        self._stack = stack

    def of(self, party: Party) -> HintStream:
        """Start to listen for the party."""
        return self._stack.enter_context(closing(self._listener.hints(party.client)))


@pytest.fixture
def ears(listener: LockStore) -> Iterator[Ears]:
    with ExitStack() as stack:
        yield Ears(listener, stack)


async def test_a_release_tells_the_next_in_line(store: AsyncLockStore, ears: Ears) -> None:
    first, second = Party(), Party()
    stream = ears.of(second)
    holder, waiter = first.owner(), second.owner()
    fence = await grab(store, "a", holder)
    await queue(store, "a", waiter)
    assert await ask(store, Release("a", holder, fence)) == Released()
    [hint] = await async_blocking(stream.get, SOON_S)
    assert (hint.name, hint.owner) == ("a", waiter)
    assert hint.fence > fence
    assert await ask(store, Confirm("a", waiter, hint.fence, TTL_MS)) == Held()
    [now] = (await look(store, "a")).holders
    assert (now.owner, now.fence, now.confirmed) == (waiter, hint.fence, True)


async def test_a_grant_to_the_asker_itself_needs_no_hint(store: AsyncLockStore, ears: Ears) -> None:
    party = Party()
    stream = ears.of(party)
    owner = party.owner()
    fence = await grab(store, "a", owner)
    await ask(store, Renew("a", owner, fence, TTL_MS))
    await ask(store, Release("a", owner, fence))
    assert await async_blocking(stream.get, NOT_S) == []


async def test_a_hand_over_inside_a_client_travels_in_the_reply(
    store: AsyncLockStore, ears: Ears
) -> None:
    party = Party()
    stream = ears.of(party)
    first, second, third = party.owner(), party.owner(), party.owner()
    fence = await grab(store, "a", first)
    await queue(store, "a", second, ttl_ms=10_000)
    await queue(store, "a", third)
    result = await ask(store, Release("a", first, fence))
    assert isinstance(result, Released)
    [handed] = result.handed
    assert handed == Handed(second, handed.fence)
    assert handed.fence > fence
    view = await look(store, "a")
    [now] = view.holders
    # It is confirmed already, for its own full TTL.
    assert (now.owner, now.fence, now.confirmed) == (second, handed.fence, True)
    assert 2000 < now.remaining_ms <= 10_000
    assert [waiter.owner for waiter in view.waiters] == [third]
    assert await async_blocking(stream.get, NOT_S) == []


async def test_one_release_hands_over_inside_and_outside(store: AsyncLockStore, ears: Ears) -> None:
    here, there = Party(), Party()
    inside, outside = ears.of(here), ears.of(there)
    writer, mine, other = here.owner(), here.owner(), there.owner()
    fence = await grab(store, "rw", writer, permits=2)
    for reader in (other, mine):
        await ask(store, Acquire("rw", reader, TTL_MS, wait=True, capacity=2))
    result = await ask(store, Release("rw", writer, fence))
    assert isinstance(result, Released)
    assert [handed.owner for handed in result.handed] == [mine]
    [hint] = await async_blocking(outside.get, SOON_S)
    assert (hint.name, hint.owner) == ("rw", other)
    assert await async_blocking(inside.get, NOT_S) == []


async def test_several_clients_are_each_told_of_their_own_grants(
    store: AsyncLockStore, ears: Ears
) -> None:
    parties = [Party() for _ in range(3)]
    streams = [ears.of(party) for party in parties]
    [writer] = strangers(1)
    owners = [party.owner() for party in parties]
    fence = await grab(store, "rw", writer, permits=3)
    for owner in owners:
        await ask(store, Acquire("rw", owner, TTL_MS, wait=True, capacity=3))
    await ask(store, Release("rw", writer, fence))
    fences = {holder.owner: holder.fence for holder in (await look(store, "rw")).holders}
    for owner, stream in zip(owners, streams, strict=True):
        assert await async_blocking(stream.get, SOON_S) == [Hint("rw", owner, fences[owner])]


async def test_one_client_is_told_of_all_its_locks(store: AsyncLockStore, ears: Ears) -> None:
    # More than a Unix datagram queue holds on some machines.
    party, other = Party(), Party()
    names = [f"lock-{number}" for number in range(40)]
    stream = ears.of(party)
    held = {name: await grab(store, name, owner) for name in names for owner in [other.owner()]}
    waiting = {name: party.owner() for name in names}
    for name in names:
        await queue(store, name, waiting[name])
    assert len(held) == len(names)
    await store.apply([Break(name) for name in names])
    told: dict[str, str] = {}
    while len(told) < len(names):
        hints = await async_blocking(stream.get, 1.0)
        if not hints:
            break
        told |= {hint.name: hint.owner for hint in hints}
    # A hint may be lost where a channel is full; a wrong one is never sent.
    assert told
    assert told.items() <= waiting.items()
    for name in names:
        assert await holders(store, name) == [waiting[name]]


@pytest.mark.parametrize("how", ["cancel", "break"])
async def test_whatever_frees_a_lock_tells_the_next(
    store: AsyncLockStore, ears: Ears, how: str
) -> None:
    party = Party()
    stream = ears.of(party)
    [holder] = strangers(1)
    await grab(store, "a", holder)
    waiter = party.owner()
    await queue(store, "a", waiter)
    await ask(store, Cancel("a", holder) if how == "cancel" else Break("a"))
    [hint] = await async_blocking(stream.get, SOON_S)
    assert (hint.name, hint.owner) == ("a", waiter)


async def test_a_lost_hint_costs_time_alone(store: AsyncLockStore) -> None:
    holder, waiter = strangers(2)
    fence = await grab(store, "a", holder)
    await queue(store, "a", waiter)
    # The waiter's client does not listen, so nobody can be told.
    await ask(store, Release("a", holder, fence))
    result = await ask(store, Acquire("a", waiter, TTL_MS, wait=True))
    assert isinstance(result, Granted)
    assert result.fence > fence


async def test_a_hint_for_another_store_goes_astray_nowhere(
    store: AsyncLockStore, ears: Ears
) -> None:
    told, deaf = Party(), Party()
    stream = ears.of(told)
    [holder] = strangers(1)
    fence = await grab(store, "a", holder)
    await queue(store, "a", deaf.owner())
    await ask(store, Release("a", holder, fence))
    assert await async_blocking(stream.get, NOT_S) == []


async def test_looking_sends_no_hint_and_grants_nothing(store: AsyncLockStore, ears: Ears) -> None:
    party = Party()
    stream = ears.of(party)
    [holder] = strangers(1)
    await grab(store, "a", holder)
    await queue(store, "a", party.owner())
    await ask(store, Inspect("a"))
    assert await async_blocking(stream.get, NOT_S) == []
    assert await holders(store, "a") == [holder]


def test_closing_wakes_a_get_that_is_under_way(listener: LockStore) -> None:
    stream = listener.hints(Party().client)
    answers: list[object] = []

    def listen() -> None:
        try:
            answers.append(stream.get(SOON_S * 3))
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    thread.join(NOT_S)
    assert thread.is_alive()
    stream.close()
    thread.join(SOON_S)
    assert not thread.is_alive()
    assert answers == [[]] or type(answers[0]).__name__ == "BackendUnavailable"
    stream.close()


async def test_a_client_can_listen_again_after_it_has_stopped(
    store: AsyncLockStore, ears: Ears, listener: LockStore
) -> None:
    party = Party()
    listener.hints(party.client).close()
    stream = ears.of(party)
    [holder] = strangers(1)
    fence = await grab(store, "a", holder)
    waiter = party.owner()
    await queue(store, "a", waiter)
    await ask(store, Release("a", holder, fence))
    [hint] = await async_blocking(stream.get, SOON_S)
    assert hint.owner == waiter
