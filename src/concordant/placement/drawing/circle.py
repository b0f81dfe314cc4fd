"""The hash space as a circle: it begins at the top and goes clockwise."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator
from math import cos, pi, sin
from typing import NamedTuple, TypeVar

from concordant.placement.drawing.svg import FAINT, LINE, TRACK, element, text
from concordant.placement.tables.points import SPACE

# More pieces would make files that browsers are slow with, and be thinner than any screen shows.
PIECES_MAX = 2560
CELLS = 2048
_CELL = SPACE // CELLS

Kind = TypeVar("Kind", bound=Hashable)
Piece = tuple[int, int, Kind]
"""(start, end, what is there): from ``start`` up to but not including ``end``."""


def track(inner: float, outer: float) -> str:
    """Return the empty circle around the origin, with a mark at each quarter."""
    ring = element(
        "circle", r=(inner + outer) / 2, fill="none", stroke=TRACK, stroke_width=outer - inner
    )
    marks = [ring]
    for quarter, (across, down) in enumerate(((0, -1), (1, 0), (0, 1), (-1, 0))):
        marks.append(
            element(
                "line",
                x1=across * (outer + 3),
                y1=down * (outer + 3),
                x2=across * (outer + 8),
                y2=down * (outer + 8),
                stroke=LINE,
                stroke_width=1,
            )
        )
        said = ("0", "¼", "½", "¾")[quarter]
        away = outer + 18
        marks.append(
            text(said, across * away, down * away + 4, 11, text_anchor="middle", fill=FAINT)
        )
    return "".join(marks)


class Band(NamedTuple):
    """Where on the page pieces are drawn: between two radii around a point."""

    x: float
    y: float
    inner: float
    outer: float

    def at(self, position: int, radius: float) -> str:
        """Return the coordinates of a position."""
        angle = 2 * pi * (position / SPACE)
        across, down = self.x + radius * sin(angle), self.y - radius * cos(angle)
        return f"{across:.1f} {down:.1f}"


def bands(pieces: Iterable[Piece[Kind]], place: Band) -> dict[Kind, str]:
    """Return for each kind the data of one path that encloses all its pieces."""
    paths: defaultdict[Kind, list[str]] = defaultdict(list)
    for start, end, kind in pieces:
        paths[kind] += _shapes(start, end, place)
    return {kind: "".join(shapes) for kind, shapes in paths.items()}


def _shapes(start: int, end: int, place: Band) -> Iterator[str]:
    # An arc of half the circle or more would have two meanings, or none.
    while start < end:
        stop = min(end, start + SPACE // 3)
        out, back = (
            f"A{place.outer:g} {place.outer:g} 0 0 1 ",
            f"A{place.inner:g} {place.inner:g} 0 0 0 ",
        )
        if stop - start < SPACE >> 8:
            out = back = "L"  # shorter text, and of this length as round as a screen can show
        yield (
            f"M{place.at(start, place.outer)}{out}{place.at(stop, place.outer)}"
            f"L{place.at(stop, place.inner)}{back}{place.at(start, place.inner)}Z"
        )
        start = stop


def mostly(pieces: Iterable[Piece[Kind]]) -> list[Piece[Kind]]:
    """Return pieces of at least a cell, each of the kind that has most of it."""
    return _joined((cell, found.most_common(1)[0][0]) for cell, found in _cells(pieces))


def in_proportion(pieces: Iterable[Piece[Kind]]) -> list[Piece[Kind]]:
    """Return pieces of at least a cell, which together are about as long as those given.

    They cover the cells that have most of them; what a cell loses or gains is made up for by
    the next.
    """

    def chosen() -> Iterator[tuple[int, Kind]]:
        owed = 0
        for cell, found in _cells(pieces):
            owed += found.total()
            if 2 * owed >= _CELL:
                owed -= _CELL
                yield cell, found.most_common(1)[0][0]

    return _joined(chosen())


def _cells(pieces: Iterable[Piece[Kind]]) -> Iterator[tuple[int, Counter[Kind]]]:
    """Yield each cell in which there is something, with how much of each kind."""
    at, found = 0, Counter[Kind]()
    for start, end, kind in pieces:
        while start < end:
            cell = start // _CELL
            if cell != at:
                if found:
                    yield at, found
                at, found = cell, Counter[Kind]()
            stop = min(end, (cell + 1) * _CELL)
            found[kind] += stop - start
            start = stop
    if found:
        yield at, found


def _joined(cells: Iterable[tuple[int, Kind]]) -> list[Piece[Kind]]:
    pieces: list[Piece[Kind]] = []
    for cell, kind in cells:
        start, end = cell * _CELL, (cell + 1) * _CELL
        if pieces and pieces[-1][1:] == (start, kind):
            start = pieces.pop()[0]
        pieces.append((start, end, kind))
    return pieces
