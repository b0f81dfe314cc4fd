"""Replies that are lost or late on their way from Redis: the outcome is open, and converges."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from itertools import count

import pytest

from concordant.drivers.redis import async_lock_store, lock_store
from concordant.errors import BackendUnavailable, OutcomeUnknown
from concordant.locking.names import new_client, owner_id
from concordant.locking.operations import (
    Acquire,
    Cancel,
    Granted,
    Inspect,
    Lost,
    Operation,
    Refused,
    Release,
    Released,
    Result,
    View,
)
from tests.fault.proxy import How, Proxy
from tests.provision.redis import server

pytestmark = pytest.mark.server

TTL_MS = 30_000
_numbers = count()

Apply = Callable[[Sequence[Operation]], Awaitable[list[Result]]]


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(server().port) as between:
        yield between


@pytest.fixture(params=["sync", "async"])
async def apply(request: pytest.FixtureRequest, proxy: Proxy) -> AsyncIterator[Apply]:
    """A store behind the proxy that waits for a reply no longer than 0.4 s."""
    prefix = f"network-{os.getpid()}-{next(_numbers)}:"
    patience = "reply_timeout_s=0.4&connect_timeout_s=0.4"
    url = f"redis://127.0.0.1:{proxy.port}/0?prefix={prefix}&{patience}"
    # The server knows the script by its digest from here on.
    with closing(lock_store(server().url())) as other:
        other.apply([Inspect("a")])
    if request.param == "async":
        store = async_lock_store(url)
        yield store.apply
        await store.aclose()
    else:
        threads = lock_store(url)
        yield lambda batch: asyncio.to_thread(threads.apply, batch)
        threads.close()


def new_owner() -> str:
    return owner_id(new_client(), 1)


async def look(apply: Apply, name: str) -> View:
    [view] = await apply([Inspect(name)])
    assert isinstance(view, View)
    return view


async def test_an_acquire_whose_reply_is_lost_converges(apply: Apply, proxy: Proxy) -> None:
    owner, other = new_owner(), new_owner()
    await apply([])
    rule = proxy.on(b"EVALSHA", "lose")
    with pytest.raises(OutcomeUnknown, match="same id"):
        await apply([Acquire("a", owner, TTL_MS)])
    assert rule.reply
    view = await look(apply, "a")
    [holder] = view.holders
    assert holder.owner == owner
    assert await apply([Acquire("a", owner, TTL_MS)]) == [Granted(holder.fence)]
    [busy] = await apply([Acquire("a", other, TTL_MS)])
    assert not isinstance(busy, Granted)


async def test_a_request_that_never_arrived_is_asked_again(apply: Apply, proxy: Proxy) -> None:
    owner = new_owner()
    await apply([])
    proxy.on(b"EVALSHA", "cut")
    with pytest.raises(OutcomeUnknown):
        await apply([Acquire("a", owner, TTL_MS)])
    assert (await look(apply, "a")).holders == ()
    [granted] = await apply([Acquire("a", owner, TTL_MS)])
    assert isinstance(granted, Granted)


async def test_a_release_whose_reply_is_lost_was_done_once(apply: Apply, proxy: Proxy) -> None:
    owner, other = new_owner(), new_owner()
    [granted] = await apply([Acquire("a", owner, TTL_MS)])
    assert isinstance(granted, Granted)
    proxy.on(b"EVALSHA", "lose")
    with pytest.raises(OutcomeUnknown):
        await apply([Release("a", owner, granted.fence)])
    [next_one] = await apply([Acquire("a", other, TTL_MS)])
    assert isinstance(next_one, Granted)
    assert next_one.fence > granted.fence
    # Asked again it harms nobody.
    assert await apply([Release("a", owner, granted.fence)]) == [Lost()]
    assert await apply([Release("a", other, next_one.fence)]) == [Released()]


async def test_a_whole_batch_is_in_doubt_together(apply: Apply, proxy: Proxy) -> None:
    owners = [new_owner() for _ in range(20)]
    batch = [Acquire(f"lock-{number}", owner, TTL_MS) for number, owner in enumerate(owners)]
    await apply([])
    proxy.on(b"EVALSHA", "lose")
    with pytest.raises(OutcomeUnknown):
        await apply(batch)
    again = await apply(batch)
    views = [await look(apply, item.name) for item in batch]
    assert [Granted(view.fence) for view in views] == again


async def test_a_request_that_comes_late_answers_nobody_else(apply: Apply, proxy: Proxy) -> None:
    owner = new_owner()
    await apply([])
    rule = proxy.on(b"EVALSHA", "hold")
    with pytest.raises(OutcomeUnknown):
        await apply([Acquire("a", owner, TTL_MS)])
    assert (await look(apply, "a")).holders == ()
    assert await asyncio.to_thread(rule.go_on)
    for number in range(5):
        assert (await look(apply, f"other-{number}")).holders == ()
    assert [holder.owner for holder in (await look(apply, "a")).holders] == [owner]


async def test_a_late_request_of_one_that_gave_up_is_refused(apply: Apply, proxy: Proxy) -> None:
    owner = new_owner()
    await apply([])
    rule = proxy.on(b"EVALSHA", "hold")
    with pytest.raises(OutcomeUnknown):
        await apply([Acquire("a", owner, TTL_MS)])
    await apply([Cancel("a", owner, late=True)])
    assert b"cancelled" in await asyncio.to_thread(rule.go_on)
    assert (await look(apply, "a")).holders == ()
    assert await apply([Acquire("a", owner, TTL_MS)]) == [Refused("cancelled")]


async def test_a_script_that_the_server_lacks_is_sent_again_later(
    apply: Apply, proxy: Proxy
) -> None:
    owner = new_owner()
    await apply([])
    with closing(server().plain()) as plain:
        plain.script_flush()
    rule = proxy.on(b"EVALSHA", "lose")
    with pytest.raises(OutcomeUnknown):
        await apply([Acquire("a", owner, TTL_MS)])
    assert rule.reply.startswith(b"-NOSCRIPT")
    [granted] = await apply([Acquire("a", owner, TTL_MS)])
    assert isinstance(granted, Granted)


async def test_where_nobody_listens_nothing_was_done(apply: Apply, proxy: Proxy) -> None:
    proxy.refuse()
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="cannot be reached"):
            await apply([Acquire("a", new_owner(), TTL_MS)])
    proxy.accept()
    assert (await look(apply, "a")).holders == ()


@pytest.mark.parametrize("how", ["cut", "lose", "hold"])
async def test_a_greeting_that_fails_has_asked_for_nothing(
    apply: Apply, proxy: Proxy, how: How
) -> None:
    rule = proxy.on(b"INFO", how)
    with pytest.raises(BackendUnavailable):
        await apply([Acquire("a", new_owner(), TTL_MS)])
    rule.struck()
    assert (await look(apply, "a")).holders == ()


async def test_a_connection_that_broke_while_idle_is_replaced_unseen(
    apply: Apply, proxy: Proxy
) -> None:
    owner = new_owner()
    await apply([Acquire("a", owner, TTL_MS)])
    proxy.cut()
    await asyncio.sleep(1.1)
    assert [holder.owner for holder in (await look(apply, "a")).holders] == [owner]


async def test_a_connection_that_broke_just_now_is_replaced_too(apply: Apply, proxy: Proxy) -> None:
    owner = new_owner()
    await apply([Acquire("a", owner, TTL_MS)])
    proxy.cut()
    try:
        view = await look(apply, "a")
    except OutcomeUnknown:
        view = await look(apply, "a")
    assert [holder.owner for holder in view.holders] == [owner]
