"""The ring beside uhashring, with and without the kernel in C, and what a large ring takes.

    python bench/placement_uhashring.py [--rounds 8]

Ratios of processor time, in alternating rounds. What has no kernel is measured in a process of
its own, and what has no xxhash either in another.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

KEYS = [f"user:{number:07}" for number in range(2000)] * 20
LARGE = 10_000


def seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def asking(function: Callable[[str], Any]) -> Callable[[], float]:
    """Return what measures the calls without the loop around them."""

    def empty() -> None:
        for _ in KEYS:
            pass

    def calls() -> None:
        for key in KEYS:
            function(key)

    return lambda: seconds(calls) - seconds(empty)


def pairs(
    ours: Callable[[], float], theirs: Callable[[], float], rounds: int
) -> list[tuple[float, float]]:
    """Return the seconds of both, which take turns at going first."""
    found = []
    for number in range(rounds):
        if number % 2:
            other, mine = theirs(), ours()
        else:
            mine, other = ours(), theirs()
        found.append((mine, other))
    return found


def looked_up(rounds: int) -> list[tuple[float, float]]:
    """Return what look-ups take at 100 nodes."""
    from uhashring import HashRing as Other

    from concordant.placement import HashRing, Node

    ids = [f"node-{number}" for number in range(100)]
    ring, other = HashRing(map(Node, ids)), Other(ids)
    return pairs(asking(ring.node), asking(other.get_node), rounds)


def built(rounds: int) -> list[tuple[float, float]]:
    """Return what it takes to build 1000 nodes of 160 points."""
    from uhashring import HashRing as Other

    from concordant.placement import HashRing, Node

    ids = [f"node-{number}" for number in range(1000)]
    nodes = [Node(each) for each in ids]
    return pairs(
        lambda: seconds(lambda: HashRing(nodes)), lambda: seconds(lambda: Other(ids)), rounds
    )


def resident(field: str) -> int:
    """Return what the system gives this process now (VmRSS) or gave at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(dict(line.split(":", 1) for line in lines)[field].split()[0]) * 1024


def large(traced: bool) -> dict[str, float]:
    """Return the bytes a point that nodes and ring take, by Python's allocator or the system."""
    from concordant.placement import HashRing, Node

    HashRing([Node("first")]).node("key")
    if traced:
        tracemalloc.start()

    def now(most: bool = False) -> int:
        if traced:
            return tracemalloc.get_traced_memory()[most]
        return resident("VmHWM" if most else "VmRSS")

    gc.collect()
    empty = now()
    nodes = [Node(f"node-{number}") for number in range(LARGE)]
    before = now()
    tracemalloc.reset_peak()
    ring = HashRing(nodes)
    ring.node("key")
    gc.collect()
    after = now()
    points = len(ring._table.positions)
    return {
        "points": points,
        "nodes": (before - empty) / points,
        "ring": (after - before) / points,
        "peak": (now(most=True) - before) / points,
    }


def elsewhere(part: str, rounds: int, kernel: str = "c") -> Any:
    """Return what a part finds in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--part", part, "--rounds", str(rounds)],
        env={**os.environ, "CONCORDANT_KERNEL": kernel},
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return json.loads(done.stdout)


def shown(title: str, found: Sequence[Sequence[float]], bar: str, ours_first: bool = False) -> None:
    ratios = [mine / other if ours_first else other / mine for mine, other in found]
    print(
        f"{title}: {statistics.median(ratios):.3g} ({min(ratios):.3g} to {max(ratios):.3g},"
        f" {len(ratios)} rounds); bar: {bar}",
        flush=True,
    )


def run_part(part: str, rounds: int) -> Any:
    if part == "traced" or part == "resident":
        return large(part == "traced")
    if part == "standard":
        sys.modules["xxhash"] = None  # type: ignore[assignment]
    return looked_up(rounds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--part", choices=("look-up", "standard", "traced", "resident"))
    options = parser.parse_args()
    rounds = options.rounds
    if options.part:
        print(json.dumps(run_part(options.part, rounds)))
        return
    print(f"uhashring {version('uhashring')}, xxhash {version('xxhash')}")
    shown(
        "looking up at 100 nodes, times faster than uhashring",
        elsewhere("look-up", rounds),
        "at least 35",
    )
    shown(
        "  without the kernel, with xxhash",
        elsewhere("look-up", rounds, "python"),
        "at least 3",
    )
    shown("  with the standard library alone", elsewhere("standard", rounds, "python"), "none")
    shown("building 1000 nodes, of uhashring's time", built(rounds), "at most 0.25", True)
    traced, whole = elsewhere("traced", 1), elsewhere("resident", 1)
    print(
        f"{LARGE} nodes, {traced['points']} points, bytes a point: {traced['ring']:.1f} by Python's"
        f" allocator, at the height of building {traced['peak']:.1f}; resident {whole['ring']:.1f},"
        f" at the height {whole['peak']:.1f}; bar: at most 24. The nodes themselves:"
        f" {traced['nodes']:.1f}"
    )


if __name__ == "__main__":
    main()
