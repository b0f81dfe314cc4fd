"""Acquire and release of a lock that nobody else wants, against two plain round trips.

    python bench/redis_uncontended.py [--rounds 8] [--seconds 1.5]

The floor is SET NX and DEL by redis-py's own client, which protects nothing and waits for
nobody.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import redis

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._redis import parser, private_server
from bench._rounds import paired
from concordant import Client


def median_us(pair: Callable[[], object], seconds: float) -> float:
    """Return the median time of one pair in microseconds."""
    took: list[float] = []
    end_s = time.perf_counter() + seconds
    while (begun_s := time.perf_counter()) < end_s:
        pair()
        took.append(time.perf_counter() - begun_s)
    return sorted(took)[len(took) // 2] * 1e6


def main() -> None:
    given = parser(seconds=1.5).parse_args()
    server = private_server()
    plain = redis.Redis(host="127.0.0.1", port=server.port)
    theirs = plain.lock("theirs", timeout=30)
    with Client(server.url()) as client:
        lock = client.lock("ours")

        def ours() -> None:
            with lock:
                pass

        def floor() -> None:
            plain.set("floor", "me", nx=True, px=30_000)
            plain.delete("floor")

        def redis_lock() -> None:
            with theirs:
                pass

        for each in (ours, floor, redis_lock):
            median_us(each, 0.3)
        for name, each, bar in (
            ("uncontended pair, us", ours, "at most 1.25"),
            ("redis-py's Lock, us", redis_lock, "none, for comparison"),
        ):
            paired(
                name,
                lambda each=each: median_us(each, given.seconds),
                lambda: median_us(floor, given.seconds),
                bar,
                given.rounds,
            )
    plain.close()


if __name__ == "__main__":
    main()
