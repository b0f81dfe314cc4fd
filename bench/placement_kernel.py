"""Looking keys up in the kernel: against a call of a C method that does nothing.

    python bench/placement_kernel.py [--rounds 8]

One line for each size of the ring, with 160 points a node: what a call costs in calls that do
nothing, for `node`, for `nodes` with three, and for each of a million keys at once. Each is
measured between two series of calls that do nothing, in processor time, so that neighbours on
the machine count less.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from concordant.placement import HashRing, Node
from concordant.placement.kernel import native

WARM = [f"user:{number:07}" for number in range(2000)] * 50
MANY = [f"user:{number:07}" for number in range(1_000_000)]
COLUMN = pa.array(MANY)


def each_ns(work: Callable[[], Any], count: int) -> float:
    start = time.process_time_ns()
    work()
    return (time.process_time_ns() - start) / count


def call_ns(function: Callable[[str], Any]) -> float:
    """Return what a call takes, without the loop around it."""

    def calls() -> None:
        for key in WARM:
            function(key)

    return each_ns(calls, len(WARM)) - each_ns(empty, len(WARM))


def call_for_three_ns(function: Callable[[str, int], Any]) -> float:
    def calls() -> None:
        for key in WARM:
            function(key, 3)

    return each_ns(calls, len(WARM)) - each_ns(empty, len(WARM))


def empty() -> None:
    for _ in WARM:
        pass


def in_nothings(measure: Callable[[], float]) -> float:
    """Return how many calls that do nothing take as long."""
    before = call_ns(native.nothing)
    taken = measure()
    return 2 * taken / (before + call_ns(native.nothing))


def shown(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    rounds = parser.parse_args().rounds
    print(f"a call that does nothing: {call_ns(native.nothing):.1f} ns")
    for size, bar in ((10, ""), (100, "at most 3, 7, 1.5, 0.9"), (1000, "node: at most 5")):
        ring = HashRing(Node(f"node-{number}") for number in range(size))
        measures = (
            lambda ring=ring: call_ns(ring.node),
            lambda ring=ring: call_for_three_ns(ring.nodes),
            lambda ring=ring: each_ns(lambda: ring.index_many(MANY), len(MANY)),
            lambda ring=ring: each_ns(lambda: ring.index_many(COLUMN), len(MANY)),
        )
        ratios = [[in_nothings(measure) for measure in measures] for _ in range(rounds)]
        parts = [shown(column) for column in zip(*ratios, strict=True)]
        print(
            f"{size} nodes, calls that do nothing: node {parts[0]}, nodes(3) {parts[1]}, a key of"
            f" a list {parts[2]}, of an Arrow column {parts[3]}; {rounds} rounds; bar:"
            f" {bar or 'none'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
