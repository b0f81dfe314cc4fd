"""100 asyncio tasks of one process, each on a lock of its own, against redis.asyncio.Lock.

    python bench/redis_async_own_locks.py [--rounds 8] [--seconds 2]

Both take the lock and give it back by `async with`, as fast as they can.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import redis.asyncio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._redis import parser, private_server
from bench._rounds import paired
from concordant import AsyncClient

TASKS = 100
Locks = Callable[[int], AbstractAsyncContextManager[Any]]


async def pairs_per_s(lock: Locks, seconds: float) -> float:
    """Return how many times a second all tasks together took and gave back their locks."""
    done = [0] * TASKS
    begun_s = time.perf_counter()

    async def work(task: int) -> None:
        while time.perf_counter() < begun_s + seconds:
            async with lock(task):
                pass
            done[task] += 1

    await asyncio.gather(*(work(task) for task in range(TASKS)))
    return sum(done) / (time.perf_counter() - begun_s)


def main() -> None:
    given = parser(seconds=2.0).parse_args()
    server = private_server()
    run = asyncio.new_event_loop().run_until_complete
    plain = redis.asyncio.Redis(host="127.0.0.1", port=server.port)
    client = AsyncClient(server.url())

    def ours(task: int) -> AbstractAsyncContextManager[Any]:
        return client.lock(f"ours-{task}")

    def theirs(task: int) -> AbstractAsyncContextManager[Any]:
        return plain.lock(f"theirs-{task}", timeout=30)

    run(pairs_per_s(ours, 0.3))
    run(pairs_per_s(theirs, 0.3))
    paired(
        "100 tasks on own locks, pairs/s",
        lambda: run(pairs_per_s(ours, given.seconds)),
        lambda: run(pairs_per_s(theirs, given.seconds)),
        "at least 6",
        given.rounds,
    )
    run(client.aclose())
    run(plain.aclose())


if __name__ == "__main__":
    main()
