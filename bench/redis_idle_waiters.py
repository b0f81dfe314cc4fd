"""What 50 waiters cost the server while nothing happens, as 5 processes of 10 threads.

    python bench/redis_idle_waiters.py [--rounds 1] [--seconds 10]

Counted by INFO commandstats, in which every command that a script calls counts as well.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import redis

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._redis import Workers, locks, parser, private_server, serve

PROCESSES = 5
THREADS = 10


def work(index: int, ready: Callable[[], None], kind: str, port: int) -> object:
    """Wait for the lock in ten threads, each once."""
    with ExitStack() as stack:
        make = locks(kind, port, stack)

        def wait() -> None:
            with make("held"):
                pass

        threads = [threading.Thread(target=wait) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        ready()
        for thread in threads:
            thread.join()
    return THREADS


def commands_per_waiter_s(kind: str, port: int, seconds: float) -> dict[str, float]:
    """Return, by command, how many a second the server ran for each waiter."""
    waiters = PROCESSES * THREADS
    with ExitStack() as stack:
        plain = stack.enter_context(redis.Redis(host="127.0.0.1", port=port))
        with locks(kind, port, stack)("held"):
            workers = Workers(PROCESSES, kind, port)
            time.sleep(1.0)
            plain.config_resetstat()
            time.sleep(seconds)
            stats = plain.info("commandstats")
        workers.go()
        workers.results()
    own = ("cmdstat_config|resetstat", "cmdstat_info")
    return {
        name.removeprefix("cmdstat_"): stat["calls"] / seconds / waiters
        for name, stat in stats.items()
        if name not in own
    }


def main() -> None:
    serve(work)
    given = parser(seconds=10.0).parse_args()
    port = private_server().port
    for _ in range(min(given.rounds, 2)):
        for kind, bar in (("ours", "; bar: at most 0.5"), ("redis-py", "")):
            found = commands_per_waiter_s(kind, port, given.seconds)
            parts = ", ".join(f"{name} {rate:.3f}" for name, rate in sorted(found.items()))
            total = sum(found.values())
            print(f"{kind}: {total:.3f} commands/s for each of 50 idle waiters ({parts}){bar}")


if __name__ == "__main__":
    main()
