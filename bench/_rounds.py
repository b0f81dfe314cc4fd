"""Alternating paired rounds, and the median of their ratios with its spread."""

from __future__ import annotations

import statistics
from collections.abc import Callable


def paired(
    title: str,
    ours: Callable[[], float],
    floor: Callable[[], float],
    bar: str,
    rounds: int = 8,
) -> float:
    """Run both in turn, print figures and ratios, and return the median ratio ours/floor.

    Which goes first changes from round to round, so that neither always meets a warm machine.
    """
    ratios: list[float] = []
    figures: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:
            other, mine = floor(), ours()
        else:
            mine, other = ours(), floor()
        figures.append((mine, other))
        ratios.append(mine / other)
    ratio = statistics.median(ratios)
    print(
        f"{title}: ours {statistics.median(each for each, _ in figures):.4g}, "
        f"floor {statistics.median(each for _, each in figures):.4g}, "
        f"ratio {ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f}, {rounds} rounds); bar: {bar}",
        flush=True,
    )
    return ratio


def beside(title: str, measure: Callable[[], float], bound: float, rounds: int) -> float:
    """Print the median and the worst of so many rounds beside their bound; return the worst."""
    figures = [measure() for _ in range(rounds)]
    print(
        f"{title}: median {statistics.median(figures):.4g}, worst {max(figures):.4g} "
        f"({rounds} rounds); bound: {bound:.4g}",
        flush=True,
    )
    return max(figures)
