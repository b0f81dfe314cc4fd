"""A lock that two processes hand to each other, against redis-py's and python-redis-lock's.

    python bench/redis_handover.py [--rounds 8] [--seconds 4]

Measured from just before the release in one process to the return of acquire in the other,
on the clock that both share.
"""

from __future__ import annotations

import itertools
import random
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._redis import Workers, locks, parser, private_server, serve
from bench._rounds import paired

# redis-py looks ten times a second: whoever gives the lock back stays away for longer than that,
# or it would take it again itself, and holds it until the other surely waits.
AWAY_S = 0.12
HOLD_S = (0.13, 0.19)


def work(index: int, ready: Callable[[], None], kind: str, port: int, seconds: float) -> object:
    """Take the lock again and again; return when each hold began and when its release began."""
    holds: list[tuple[int, int, int]] = []
    rng = random.Random(index)
    with ExitStack() as stack:
        lock = locks(kind, port, stack)("handed-over")
        ready()
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            with lock:
                begun_ns = time.monotonic_ns()
                time.sleep(rng.uniform(*HOLD_S))
                released_ns = time.monotonic_ns()
            holds.append((begun_ns, released_ns, index))
            time.sleep(AWAY_S)
    return holds


def median_ms(kind: str, port: int, seconds: float) -> float:
    """Return the median time of a hand-over from one process to the other."""
    workers = Workers(2, kind, port, seconds)
    workers.go()
    holds = sorted(tuple(hold) for result in workers.results() for hold in result)
    took = [
        (after[0] - before[1]) / 1e6
        for before, after in itertools.pairwise(holds)
        if before[2] != after[2]
    ]
    assert len(took) > 5, f"{kind}: {len(took)} hand-overs"
    return statistics.median(took)


def main() -> None:
    serve(work)
    given = parser(seconds=4.0).parse_args()
    port = private_server().port
    for peer, bar in (("redis-py", "at most 0.0333"), ("python-redis-lock", "at most 1.2")):
        paired(
            f"hand-over, ms, floor is {peer}",
            lambda: median_ms("ours", port, given.seconds),
            lambda peer=peer: median_ms(peer, port, given.seconds),
            bar,
            given.rounds,
        )


if __name__ == "__main__":
    main()
