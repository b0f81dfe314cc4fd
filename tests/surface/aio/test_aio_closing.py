"""A client that is closed while its own tasks acquire: none of them leaves anything."""

from __future__ import annotations

import pytest

from concordant import AsyncClient, LockLost, UsageError
from concordant.locking.operations import Acquire
from tests.surface.aio.standing import holders, until_waiting, waiters
from tests.surface.faults import Faults
from tests.surface.together import AsyncBackground, async_eventually


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("several", [False, True])
async def test_what_is_on_its_way_is_withdrawn(
    client: AsyncClient, faulty_url: str, faults: Faults, busy: bool, several: bool
) -> None:
    held = await client.lock("a").acquire() if busy else None
    closing = AsyncClient(faulty_url)
    rule = faults.on("held", Acquire)
    lock = closing.locks(["a", "b"]) if several else closing.lock("a")
    acquiring = AsyncBackground(lock.acquire)

    async def is_on_its_way() -> bool:
        return rule.hits > 0

    await async_eventually(is_on_its_way)
    ending = AsyncBackground(closing.aclose)

    async def is_closed() -> bool:
        return closing._session._closed

    await async_eventually(is_closed)
    rule.end()
    await ending.result()
    # At once: neither a place in the queue nor a lease that nobody keeps.
    assert await waiters(client, "a") == []
    assert await holders(client, "a") == ([held.owner] if held is not None else [])
    assert await holders(client, "b") == []
    with pytest.raises(UsageError, match="closed"):
        await acquiring.result()


async def test_what_the_closing_itself_hands_over_is_given_back(
    client: AsyncClient, lock_url: str
) -> None:
    for _ in range(5):
        closing = AsyncClient(lock_url)
        await closing.lock("a").acquire()
        acquiring = AsyncBackground(closing.lock("a").acquire)
        await until_waiting(client, "a", 1)
        await closing.aclose()
        assert await holders(client, "a") == []
        assert await waiters(client, "a") == []
        # It had come too late, or has a lease that says that it is over.
        with pytest.raises((UsageError, LockLost)):
            (await acquiring.result()).check()
