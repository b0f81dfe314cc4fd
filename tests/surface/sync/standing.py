# Generated from tests/surface/aio/standing.py by tools/unasync.py; do not edit.
"""How a lock stands in its store."""

from __future__ import annotations

from functools import partial

from concordant import Client
from tests.surface.together import eventually


def holders(client: Client, name: str) -> list[str]:
    """Return the owners that hold the lock."""
    return [holder.owner for holder in (client.inspect(name)).holders]


def waiters(client: Client, name: str) -> list[str]:
    """Return the owners that wait for the lock, in order."""
    return [waiter.owner for waiter in (client.inspect(name)).waiters]


def _waiting(client: Client, name: str, number: int) -> bool:
    return len(waiters(client, name)) == number


def until_waiting(client: Client, name: str, number: int) -> None:
    """Wait until so many wait for the lock."""
    eventually(partial(_waiting, client, name, number))


def _is_free(client: Client, name: str) -> bool:
    view = client.inspect(name)
    return not view.holders and not view.waiters


def until_free(client: Client, name: str) -> None:
    """Wait until nobody holds the lock or waits for it."""
    eventually(partial(_is_free, client, name))
