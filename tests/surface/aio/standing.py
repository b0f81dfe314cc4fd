"""How a lock stands in its store."""

from __future__ import annotations

from functools import partial

from concordant import AsyncClient
from tests.surface.together import async_eventually


async def holders(client: AsyncClient, name: str) -> list[str]:
    """Return the owners that hold the lock."""
    return [holder.owner for holder in (await client.inspect(name)).holders]


async def waiters(client: AsyncClient, name: str) -> list[str]:
    """Return the owners that wait for the lock, in order."""
    return [waiter.owner for waiter in (await client.inspect(name)).waiters]


async def _waiting(client: AsyncClient, name: str, number: int) -> bool:
    return len(await waiters(client, name)) == number


async def until_waiting(client: AsyncClient, name: str, number: int) -> None:
    """Wait until so many wait for the lock."""
    await async_eventually(partial(_waiting, client, name, number))


async def _is_free(client: AsyncClient, name: str) -> bool:
    view = await client.inspect(name)
    return not view.holders and not view.waiters


async def until_free(client: AsyncClient, name: str) -> None:
    """Wait until nobody holds the lock or waits for it."""
    await async_eventually(partial(_is_free, client, name))
