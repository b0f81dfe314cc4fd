"""Worker processes that do one thing for a while and report what they counted."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any


def _child(work: Callable[..., Any], number: int, given: Sequence[Any], pipe: Any) -> None:
    pipe.send(work(number, *given))
    pipe.close()


def in_processes(work: Callable[..., Any], count: int, *given: Any) -> list[Any]:
    """Run `work(number, *given)` in so many fresh processes at once; return what each returned."""
    context = multiprocessing.get_context("spawn")
    running = []
    for number in range(count):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(work, number, given, theirs))
        process.start()
        running.append((process, ours))
    results = [ours.recv() for _, ours in running]
    for process, _ in running:
        process.join()
    return results


def jain(counts: Sequence[float]) -> float:
    """Return Jain's fairness index: 1 if all are equal, 1/n if one has everything."""
    return sum(counts) ** 2 / (len(counts) * sum(each * each for each in counts))
