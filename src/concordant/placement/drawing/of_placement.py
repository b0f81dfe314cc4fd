"""The drawing of a placement: who owns which part of the hash space, and load by fair share."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice

from concordant.placement.base import Placement
from concordant.placement.drawing.bars import Bar, fair_line, profile, row, scale_for
from concordant.placement.drawing.circle import PIECES_MAX, Band, Piece, bands, mostly, track
from concordant.placement.drawing.colours import colours_of
from concordant.placement.drawing.svg import (
    TIMES,
    document,
    element,
    notes,
    percent,
    short,
    text,
    titled,
)
from concordant.placement.nodes import Node
from concordant.placement.stats import Stats, stats_of
from concordant.placement.tables.table import TablePlacement

_TOP = 112
_CENTRE = 232
_DOWN = _TOP + 212
_INNER, _OUTER = 132, 184
_RING_RIGHT = 470
_RING_BOTTOM = _DOWN + 212
_MARGIN = 32

# More are not drawn one by one, but those with most and with least.
BARS_MAX = 120
_ENDS = 16


def draw_placement(placement: Placement) -> str:
    """Return a drawing of who owns what, as the text of an SVG file.

    Placements by ranges of the hash space are drawn as a circle, in which more than 2560 ranges
    are put together: each of 2048 sectors then has the colour of who owns most of it. Beside it
    stand loads as multiples of the fair share, of more than 120 nodes the 16 greatest and the 16
    smallest. The same placement gives the same text; addresses are not in it.
    """
    stats = stats_of(placement)
    left = _RING_RIGHT if isinstance(placement, TablePlacement) else _MARGIN
    colours = colours_of(placement.nodes_by_id)
    rings = _ring_bands(placement)
    panel, right, bottom = _panel(placement, stats, colours, rings, left)
    if isinstance(placement, TablePlacement):
        around = f"translate({_CENTRE} {_DOWN})"
        ring = element("g", track(_INNER, _OUTER), transform=around)
        middle = element("g", _middle(stats), transform=around)
        panel, bottom = ring + panel + middle, max(bottom, _RING_BOTTOM)
    width = max(right + _MARGIN, 680)
    title = f"{type(placement).__name__} of {_counted(len(placement), 'node')}"
    said = _notes(placement)
    below, bottom = notes(said, _MARGIN, bottom + 8, width - 2 * _MARGIN)
    head = text(title, _MARGIN, 46, 22, font_weight="700") + text(
        _about(placement), _MARGIN, 70, 13, class_="faint"
    )
    return document(
        width,
        bottom + 20,
        f"placement-{placement.fingerprint()[:8]}",
        title,
        " ".join([_told(stats), *said]),
        head + panel + below,
    )


def _ring_bands(placement: Placement) -> dict[str | None, str]:
    """Return for each node, by id, its part of the circle."""
    if not isinstance(placement, TablePlacement):
        return {}
    pieces: list[Piece[str | None]] = list(islice(placement.arcs(), PIECES_MAX + 1))
    if len(pieces) > PIECES_MAX:
        pieces = mostly(placement.arcs())
    return bands(pieces, Band(_CENTRE, _DOWN, _INNER, _OUTER))


def _panel(
    placement: Placement,
    stats: Stats,
    colours: dict[str, str],
    rings: dict[str | None, str],
    left: float,
) -> tuple[str, float, float]:
    """Return circle and bars by node, and how far they reach to the right and down."""
    nodes = list(placement)
    columns, heads = _columns(nodes, stats)
    shown = [node for column in columns for node in column]
    scale = scale_for(len(nodes), stats.max_load or 1.0)
    parts: dict[str, list[str]] = {node.id: [] for node in shown}
    together: defaultdict[str, str] = defaultdict(str)
    for node_id, data in rings.items():
        if node_id in parts:
            parts[node_id].append(element("path", d=data, fill=colours[node_id]))
        elif node_id is not None:
            together[colours[node_id]] += data
    marks: list[str] = []
    right, bottom = left, float(_TOP)
    for place, column in enumerate(columns):
        x = left + place * (scale.width + 36)
        if heads:
            marks.append(text(heads[place], x, _TOP - 22, 13, font_weight="600"))
        for line, node in enumerate(column):
            load, share = stats.loads[node.id], stats.shares[node.id]
            bar = Bar(node.id, load, share)
            parts[node.id].append(row(bar, colours[node.id], scale, x, _TOP + line * scale.row))
        end = _TOP + len(column) * scale.row
        marks.append(fair_line(scale, x, _TOP, end) if column else "")
        right, bottom = max(right, x + scale.width), max(bottom, end)
    if heads:
        bottom += 66
        marks.append(text("all nodes, by load", left, bottom - 18, 13, font_weight="600"))
        marks.append(profile(list(stats.loads.values()), left, bottom, right - left - 40, 90))
        bottom += 90
    drawn = "".join(element("path", d=data, fill=colour) for colour, data in together.items())
    drawn += "".join(titled(_of_node(node, stats), *parts[node.id]) for node in shown)
    return element("g", drawn or " ", class_="each") + "".join(marks), right, bottom


def _columns(nodes: list[Node], stats: Stats) -> tuple[list[list[Node]], list[str]]:
    """Return the nodes of each column of bars, and what stands above the columns, if anything."""
    if len(nodes) > BARS_MAX:
        ordered = sorted(nodes, key=lambda node: (-stats.loads[node.id], node.id))
        heads = [f"the {_ENDS} most loaded", f"the {_ENDS} least loaded"]
        return [ordered[:_ENDS], ordered[-_ENDS:]], heads
    if len(nodes) <= 24:
        return [nodes], []
    half = -(-len(nodes) // 2)
    return [nodes[:half], nodes[half:]], []


def _middle(stats: Stats) -> str:
    """Return what stands within the circle."""
    most, least = stats.max_load, stats.min_load
    if most is None or least is None:
        return text("no nodes", 0, 6, 18, text_anchor="middle", font_weight="600")
    lines = (
        ("the busiest node has", 12, "400", -38),
        (f"{most:.2f}{TIMES}", 28, "700", -8),
        ("its fair share,", 12, "400", 14),
        (f"the idlest {least:.2f}{TIMES}", 12, "400", 31),
    )
    return "".join(
        text(said, 0, y, size, text_anchor="middle", font_weight=weight)
        for said, size, weight, y in lines
    )


def _about(placement: Placement) -> str:
    settings = (f"{name}={value}" for name, value in placement._about().items())
    told = [each for each in settings if len(each) < 40]
    fingerprint = f"fingerprint {placement.fingerprint()}"
    return " · ".join([*told, fingerprint, f"epoch {placement.epoch}"])


def _notes(placement: Placement) -> list[str]:
    if not isinstance(placement, TablePlacement):
        return [
            f"{type(placement).__name__} computes the owner of each key: there are no ranges of the"
            " hash space to draw.",
            "Loads are those expected of the weights; chance alone makes a difference.",
        ]
    arcs = sum(1 for _ in placement.arcs()) if len(placement) else 0
    said = [
        "The circle is the hash space, clockwise from 0 to 2⁶⁴, in the colours of the bars.",
        "Bars are shares of the hash space as multiples of the fair share, which is by weight.",
    ]
    if arcs > PIECES_MAX:
        said[0] += f" Of its {arcs} ranges each sector shows who owns most of it."
    return said


def _told(stats: Stats) -> str:
    most, least = stats.max_load, stats.min_load
    if most is None or least is None:
        return "There are no nodes."
    busiest = max(stats.loads, key=lambda node_id: stats.loads[node_id])
    return (
        f"Loads as multiples of the fair share: from {least:.3f} to {most:.3f}, the busiest being"
        f" {short(busiest)}."
    )


def _of_node(node: Node, stats: Stats) -> str:
    zone = f", zone {short(node.zone)}" if node.zone else ""
    return (
        f"{short(node.id)}: {percent(stats.shares[node.id])} of all keys, fair is"
        f" {percent(stats.fair_shares[node.id])} (weight {node.weight:g}{zone})"
    )


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
