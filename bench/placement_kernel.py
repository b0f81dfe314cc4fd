"""Looking keys up in the kernel: against a call of a C method that does nothing.

    python bench/placement_kernel.py [--rounds 8]

One line for each size of the ring, with 160 points a node: what a call costs in calls that do
nothing, for `node`, for `nodes` with three, and for each of a million keys at once.
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
    start = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - start) / count


def calls(function: Callable[[str], Any]) -> Callable[[], None]:
    def run() -> None:
        for key in WARM:
            function(key)

    return run


def calls_for_three(function: Callable[[str, int], Any]) -> Callable[[], None]:
    def run() -> None:
        for key in WARM:
            function(key, 3)

    return run


def empty() -> None:
    for _ in WARM:
        pass


def shown(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    rounds = parser.parse_args().rounds
    for size, bar in ((10, ""), (100, "at most 3, 7, 1.5, 0.9"), (1000, "node: at most 5")):
        ring = HashRing(Node(f"node-{number}") for number in range(size))
        ratios: list[tuple[float, ...]] = []
        for _ in range(rounds):
            loop = each_ns(empty, len(WARM))
            nothing = each_ns(calls(native.nothing), len(WARM)) - loop
            ratios.append(
                (
                    (each_ns(calls(ring.node), len(WARM)) - loop) / nothing,
                    (each_ns(calls_for_three(ring.nodes), len(WARM)) - loop) / nothing,
                    each_ns(lambda ring=ring: ring.index_many(MANY), len(MANY)) / nothing,
                    each_ns(lambda ring=ring: ring.index_many(COLUMN), len(MANY)) / nothing,
                )
            )
        parts = [shown(column) for column in zip(*ratios, strict=True)]
        print(
            f"{size} nodes, calls that do nothing: node {parts[0]}, nodes(3) {parts[1]}, a key of"
            f" a list {parts[2]}, of an Arrow column {parts[3]}; {rounds} rounds; bar:"
            f" {bar or 'none'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
