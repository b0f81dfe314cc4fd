"""50 waiters on one lock, as 5 processes of 10 threads: grabs a second and Jain's fairness.

    python bench/redis_fairness.py [--rounds 8] [--seconds 4]

With a section of 2 ms, which is what locks are for, and with an empty one, which is reported.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._redis import Workers, locks, parser, private_server, serve
from bench._rounds import paired

PROCESSES = 5
THREADS = 10


def work(
    index: int, ready: Callable[[], None], kind: str, port: int, seconds: float, section_s: float
) -> object:
    """Contend in ten threads; return how often each had the lock."""
    grabs = [0] * THREADS
    with ExitStack() as stack:
        make = locks(kind, port, stack)
        ready()
        end_s = time.monotonic() + seconds

        def contend(thread: int) -> None:
            lock = make("crowded")
            while time.monotonic() < end_s:
                with lock:
                    if section_s:
                        time.sleep(section_s)
                    # What comes after the end would favour those who happen to wait then.
                    grabs[thread] += time.monotonic() < end_s

        threads = [threading.Thread(target=contend, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return grabs


def jain(counts: list[int]) -> float:
    """Return Jain's index: 1 if all had the same, 1/n if one had it all."""
    return sum(counts) ** 2 / (len(counts) * sum(count * count for count in counts))


def main() -> None:
    serve(work)
    given = parser(seconds=4.0).parse_args()
    port = private_server().port
    for section_s, bar in ((0.002, "at least 1"), (0.0, "none, for information")):
        fairness: dict[str, list[float]] = {"ours": [], "redis-py": []}

        def grabs_per_s(
            kind: str,
            section_s: float = section_s,
            fairness: dict[str, list[float]] = fairness,
        ) -> float:
            workers = Workers(PROCESSES, kind, port, given.seconds, section_s)
            workers.go()
            counts = [count for result in workers.results() for count in result]
            fairness[kind].append(jain(counts))
            return sum(counts) / given.seconds

        paired(
            f"50 waiters, section of {section_s * 1000:g} ms, grabs/s, floor is redis-py's Lock",
            lambda: grabs_per_s("ours"),
            lambda: grabs_per_s("redis-py"),
            bar,
            given.rounds,
        )
        for kind, found in fairness.items():
            middle = sorted(found)[len(found) // 2]
            print(
                f"  Jain of {kind}: median {middle:.3f} ({min(found):.3f} to {max(found):.3f})"
                + ("; bar: at least 0.95" if kind == "ours" and section_s else "")
            )


if __name__ == "__main__":
    main()
