"""SQLite locks, four processes on names of their own: the longest wait, and fairness.

    python bench/sqlite_locks.py [--rounds 8] [--seconds 3]

The bars: no wait above 200 ms, Jain at least 0.9.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._processes import in_processes, jain
from concordant import Client


def work(number: int, url: str, start_s: float, seconds: float) -> tuple[int, float]:
    """Return how many pairs were done, and the longest one in seconds."""
    count, longest = 0, 0.0
    with Client(url) as client:
        lock = client.lock(f"own-{number}")
        with lock:
            pass
        time.sleep(max(0.0, start_s - time.time()))
        end = time.perf_counter() + seconds
        while (before := time.perf_counter()) < end:
            with lock:
                pass
            longest = max(longest, time.perf_counter() - before)
            count += 1
    return count, longest


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    waits, fairness, rates = [], [], []
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite://{folder}/locks.db"
            results = in_processes(work, 4, url, time.time() + 2, given.seconds)
        counts = [count for count, _ in results]
        waits.append(max(longest for _, longest in results) * 1000)
        fairness.append(jain(counts))
        rates.append(sum(counts) / given.seconds)
    print(
        f"longest wait ms: median {statistics.median(waits):.0f}, worst {max(waits):.0f} "
        f"(bar: at most 200); Jain: median {statistics.median(fairness):.3f}, least "
        f"{min(fairness):.3f} (bar: at least 0.9); {statistics.median(rates):.0f} pairs/s in all; "
        f"{given.rounds} rounds"
    )


if __name__ == "__main__":
    main()
