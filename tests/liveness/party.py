"""A process that holds a lock, or waits for one, and is killed or stopped: the test's victim.

Run as `python -m tests.liveness.party WORLD URL NAME TTL_S`. It prints a line once it holds.
"""

from __future__ import annotations

import asyncio
import sys
import time

from concordant import AsyncClient, Client

# Longer than any test lasts; whoever started it ends it.
_STAYS_S = 120.0


async def _aio(url: str, name: str, ttl_s: float) -> None:
    async with AsyncClient(url) as client, client.lock(name, ttl_s=ttl_s):
        print("held", flush=True)
        await asyncio.sleep(_STAYS_S)


def _sync(url: str, name: str, ttl_s: float) -> None:
    with Client(url) as client, client.lock(name, ttl_s=ttl_s):
        print("held", flush=True)
        time.sleep(_STAYS_S)


def main() -> None:
    """Take the lock and stay."""
    world, url, name, ttl_s = sys.argv[1:]
    if world == "aio":
        asyncio.run(_aio(url, name, float(ttl_s)))
    else:
        _sync(url, name, float(ttl_s))


if __name__ == "__main__":
    main()
