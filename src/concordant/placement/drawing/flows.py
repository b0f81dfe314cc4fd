"""What moves from whom to whom: nodes on both sides, and ribbons between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from concordant.placement.drawing.colours import NOBODY
from concordant.placement.drawing.svg import (
    INK,
    element,
    fitted,
    number,
    percent,
    short,
    text,
    titled,
)

# More on a side are drawn as one.
ROWS_MAX = 16
_PITCH, _GAP, _SIZE = 17.0, 5.0, 12.0
_NAMES, _FIGURES, _BLOCK, _BETWEEN = 150.0, 72.0, 12.0, 180.0
WIDTH = 2 * (_NAMES + _FIGURES + _BLOCK) + _BETWEEN

Flow = tuple[str | None, str | None]
Name = str | int | None
"""A node by its id, so many others together, or nobody."""


class End(NamedTuple):
    """A node on one side, with what it gives or takes."""

    name: Name
    share: float
    top: float
    height: float


def draw_flows(
    matrix: Mapping[Flow, float], colours: Mapping[str, str], x: float, y: float, height: float
) -> tuple[str, float]:
    """Return the flows within about a height, and where they end below.

    Of more than 16 nodes on a side, those with the smallest shares are put together.
    """
    named = _names(matrix, 0), _names(matrix, 1)
    flows: defaultdict[tuple[Name, Name], float] = defaultdict(float)
    for (from_id, to_id), share in matrix.items():
        flows[named[0][from_id], named[1][to_id]] += share
    rows = [len(set(names.values())) for names in named]
    scale = max(20.0, height - _GAP * max(rows)) / sum(flows.values())
    givers, takers = (_ends(flows, side, y, scale) for side in (0, 1))
    block = x + _NAMES + _FIGURES
    other = block + _BLOCK + _BETWEEN
    ribbons = _ribbons(flows, (givers, takers), scale, (block + _BLOCK, other), colours)
    shapes = [_drawn(end, block, colours, before=True) for end in givers.values()]
    shapes += [_drawn(end, other, colours, before=False) for end in takers.values()]
    bottom = max(end.top + max(end.height, _PITCH) for end in (*givers.values(), *takers.values()))
    heads = text("from", block - 8, y - 10, 13, text_anchor="end", font_weight="600")
    heads += text("to", other + _BLOCK + 8, y - 10, 13, font_weight="600")
    return element("g", ribbons, class_="each") + "".join(shapes) + heads, bottom


def _names(matrix: Mapping[Flow, float], side: int) -> dict[str | None, Name]:
    """Return under which name each node of a side is drawn, those with most first."""
    totals: defaultdict[str | None, float] = defaultdict(float)
    for flow, share in matrix.items():
        totals[flow[side]] += share
    ordered = sorted(totals, key=lambda each: (-totals[each], each or ""))
    own = len(ordered) if len(ordered) <= ROWS_MAX else ROWS_MAX - 1
    rest: Name = len(ordered) - own
    return {each: each if place < own else rest for place, each in enumerate(ordered)}


def _ends(
    flows: Mapping[tuple[Name, Name], float], side: int, y: float, scale: float
) -> dict[Name, End]:
    totals: defaultdict[Name, float] = defaultdict(float)
    for flow, share in flows.items():
        totals[flow[side]] += share
    ends: dict[Name, End] = {}
    # All others together come last, however much they are.
    for name in sorted(totals, key=lambda each: (isinstance(each, int), -totals[each], str(each))):
        height = totals[name] * scale
        space = max(height, _PITCH)
        ends[name] = End(name, totals[name], y + (space - height) / 2, height)
        y += space + _GAP
    return ends


def _ribbons(
    flows: Mapping[tuple[Name, Name], float],
    ends: tuple[dict[Name, End], dict[Name, End]],
    scale: float,
    x: tuple[float, float],
    colours: Mapping[str, str],
) -> str:
    """Return a ribbon for each flow, in the colour of who takes it."""
    places = [{name: place for place, name in enumerate(side)} for side in ends]
    used: tuple[defaultdict[Name, float], ...] = (defaultdict(float), defaultdict(float))
    middle = (x[0] + x[1]) / 2
    drawn: list[str] = []
    for flow in sorted(flows, key=lambda flow: (places[0][flow[0]], places[1][flow[1]])):
        thick = flows[flow] * scale
        tops = []
        for side in (0, 1):
            tops.append(ends[side][flow[side]].top + used[side][flow[side]])
            used[side][flow[side]] += thick
        (left, right), shown = tops, max(thick, 0.7)
        path = (
            f"M{number(x[0])} {number(left)}"
            f"C{number(middle)} {number(left)} {number(middle)} {number(right)} "
            f"{number(x[1])} {number(right)}V{number(right + shown)}"
            f"C{number(middle)} {number(right + shown)} {number(middle)} {number(left + shown)} "
            f"{number(x[0])} {number(left + shown)}Z"
        )
        said = f"{short(told(flow[0]))} to {short(told(flow[1]))}: {percent(flows[flow])}"
        shape = element("path", d=path, fill=_colour(flow[1], colours), fill_opacity="0.6")
        drawn.append(titled(said, shape))
    return "".join(drawn)


def _drawn(end: End, x: float, colours: Mapping[str, str], *, before: bool) -> str:
    base = end.top + end.height / 2 + _SIZE * 0.36
    anchor, near, far = (
        ("end", x - 8, x - _FIGURES) if before else ("start", x + _BLOCK + 8, x + _BLOCK + _FIGURES)
    )
    return (
        element(
            "rect",
            x=x,
            y=end.top,
            width=_BLOCK,
            height=max(end.height, 1),
            fill=_colour(end.name, colours),
            stroke=INK,
            stroke_opacity="0.45",
            stroke_width=0.6,
        )
        + text(percent(end.share), near, base, _SIZE, text_anchor=anchor, class_="faint")
        + text(fitted(told(end.name), _NAMES, _SIZE), far, base, _SIZE, text_anchor=anchor)
    )


def told(name: Name) -> str:
    """Return what stands beside an end."""
    if name is None:
        return "(nobody)"
    return name if isinstance(name, str) else f"{name} others"


def _colour(name: Name, colours: Mapping[str, str]) -> str:
    return colours[name] if isinstance(name, str) else NOBODY
