"""Loads as bars, beside a line at the fair share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from concordant.placement.drawing.svg import (
    FAINT,
    INK,
    LINE,
    TIMES,
    element,
    fitted,
    number,
    percent,
    text,
)

# More steps than that are finer than what screens show.
_STEPS = 500


class Bar(NamedTuple):
    """The load of one node, as a multiple of what is fair."""

    node_id: str
    load: float
    share: float


class Scale(NamedTuple):
    """Where bars stand: ``x`` is where the names begin; widths in pixels."""

    row: float
    size: float
    names: float
    bars: float
    most: float

    @property
    def width(self) -> float:
        """Return the width of a column with its figures, without what is between columns."""
        return self.names + self.bars + 9.5 * self.size

    def across(self, load: float) -> float:
        """Return how far a load reaches."""
        return self.bars * min(load, self.most) / self.most


def scale_for(rows: int, most: float) -> Scale:
    """Return large rows for few bars, small ones for many; ``most`` is the greatest load."""
    reach = max(1.25, most)
    if rows <= 24:
        return Scale(24, 13, 170, 150, reach)
    return Scale(15, 10.5, 120, 100, reach)


def row(bar: Bar, colour: str, scale: Scale, x: float, y: float) -> str:
    """Return a bar with its name before and its figures behind it."""
    start, middle = x + scale.names, y + scale.row / 2
    base = middle + scale.size * 0.36
    figures = start + scale.bars + 10
    return (
        text(
            fitted(bar.node_id, scale.names - 10, scale.size),
            start - 8,
            base,
            scale.size,
            text_anchor="end",
        )
        + element(
            "rect",
            x=start,
            y=y + scale.row * 0.16,
            width=scale.across(bar.load),
            height=scale.row * 0.68,
            rx=2,
            fill=colour,
            stroke=INK,
            stroke_opacity="0.45",
            stroke_width=0.6,
        )
        + text(f"{bar.load:.2f}{TIMES}", figures, base, scale.size, font_weight="600")
        + text(
            percent(bar.share),
            x + scale.width,
            base,
            scale.size,
            text_anchor="end",
            class_="faint",
        )
    )


def fair_line(scale: Scale, x: float, top: float, bottom: float) -> str:
    """Return the line that bars of a fair share reach, with its name above."""
    at = x + scale.names + scale.across(1.0)
    return element(
        "line",
        x1=at,
        y1=top - 2,
        x2=at,
        y2=bottom + 2,
        stroke=INK,
        stroke_width=1.2,
        stroke_dasharray="4 3",
    ) + text("fair", at, top - 7, 11, text_anchor="middle", fill=FAINT)


def profile(loads: Sequence[float], x: float, y: float, width: float, height: float) -> str:
    """Return all loads as one area, the greatest first, with a line at the fair share."""
    most = max(1.25, *loads)
    ordered, count = sorted(loads, reverse=True), min(len(loads), _STEPS)
    step = width / count
    steps = [f"M{number(x)} {number(y + height)}"]
    for place in range(count):
        load = ordered[place * (len(ordered) - 1) // max(1, count - 1)]
        steps.append(
            f"V{number(y + height - height * load / most)}H{number(x + step * (place + 1))}"
        )
    fair = y + height - height / most
    return (
        element("path", d="".join(steps) + f"V{number(y + height)}Z", fill="#56b4e9")
        + element("line", x1=x, y1=y + height, x2=x + width, y2=y + height, stroke=LINE)
        + element("line", x1=x, y1=fair, x2=x + width, y2=fair, stroke=INK, stroke_dasharray="4 3")
        + text("fair", x + width + 6, fair + 4, 11, fill=FAINT)
    )
