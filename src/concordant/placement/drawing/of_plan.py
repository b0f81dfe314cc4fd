"""The drawing of a plan: which parts of the hash space move, and from whom to whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from concordant.placement.drawing.circle import (
    CELLS,
    Band,
    Piece,
    bands,
    in_proportion,
    track,
)
from concordant.placement.drawing.colours import NOBODY, colours_of
from concordant.placement.drawing.flows import WIDTH, Flow, draw_flows, told
from concordant.placement.drawing.svg import document, element, notes, percent, short, text
from concordant.placement.plan import Plan
from concordant.placement.plan.asked import SAMPLE

_TOP = 152
_CENTRE = 232
_DOWN = _TOP + 196
_INNER, _MIDDLE, _OUTER = 130, 157, 184
# Each is drawn twice.
RANGES_MAX = 2048
_RING_RIGHT = 470
_RING_BOTTOM = _DOWN + 212
_MARGIN = 32
_HEIGHT = 400


def draw_plan(plan: Plan) -> str:
    """Return a drawing of what moves, as the text of an SVG file.

    Where the plan knows ranges of the hash space, they are drawn on a circle: within who gives
    a range, around it who takes it. Where they are more than 2048, or very thin, sectors are
    coloured instead, in proportion to what moves. Beside it stands how much goes from whom to
    whom, of more than 16 nodes on a side those with most. The same plan gives the same text.
    """
    matrix = plan.matrix
    colours = colours_of(_by_share(matrix))
    left = _RING_RIGHT if plan.exact else _MARGIN
    right, bottom = (left + WIDTH if matrix else 640 + _MARGIN) + _MARGIN, float(_TOP)
    parts = [_head(plan)]
    if matrix:
        flows, bottom = draw_flows(matrix, colours, left, _TOP, _HEIGHT)
        parts.append(flows)
    if plan.exact:
        parts += _circle(plan, colours)
        bottom = max(bottom, _RING_BOTTOM)
    elif not matrix:
        parts.append(text("Nothing moves.", _MARGIN, _TOP + 20, 16))
        bottom += 40
    said = _notes(plan)
    below, bottom = notes(said, _MARGIN, bottom + 8, right - 2 * _MARGIN)
    return document(
        right,
        bottom + 20,
        f"plan-{plan.old_fingerprint[:8]}-{plan.new_fingerprint[:8]}",
        "What moves",
        " ".join([_told(matrix, plan), *said]),
        "".join(parts) + below,
    )


def _by_share(matrix: Mapping[Flow, float]) -> list[str]:
    """Return the ids, those first that give or take most: they get the clearest colours."""
    totals: defaultdict[str, float] = defaultdict(float)
    for flow, share in matrix.items():
        for node_id in flow:
            if node_id is not None:
                totals[node_id] = totals[node_id] + share
    return sorted(totals, key=lambda node_id: (-totals[node_id], node_id))


def _head(plan: Plan) -> str:
    """Return the head, with what moves above what has to."""
    copies = f" · {plan.replicas} replicas" if plan.replicas > 1 else ""
    about = f"from {plan.old_fingerprint} to {plan.new_fingerprint}{copies}"
    parts = [
        text("What moves", _MARGIN, 46, 22, font_weight="700"),
        text(about, _MARGIN, 70, 13, class_="faint"),
    ]
    most = max(plan.moved_share, plan.minimum_share) or 1.0
    for place, (name, share, colour) in enumerate(
        (("moves", plan.moved_share, "#d55e00"), ("minimum", plan.minimum_share, "#5a5f66"))
    ):
        y, long = 88 + 20 * place, 260 * share / most
        parts.append(text(name, _MARGIN, y + 11, 13))
        parts.append(element("rect", x=_MARGIN + 72, y=y, width=long, height=13, fill=colour))
        parts.append(text(percent(share), _MARGIN + 80 + long, y + 11, 13, font_weight="600"))
    return "".join(parts)


def _circle(plan: Plan, colours: Mapping[str, str]) -> list[str]:
    """Return the circle, with who gives within and who takes around it."""
    moved: list[Piece[Flow]] = [
        (start, end, (from_id, to_id)) for start, end, from_id, to_id in plan.ranges
    ]
    if _in_sectors(plan):
        moved = in_proportion(moved)
    around = f"translate({_CENTRE} {_DOWN})"
    drawn = [element("g", track(_INNER, _OUTER), transform=around)]
    inward = Band(_CENTRE, _DOWN, _INNER, _MIDDLE - 1)
    outward = Band(_CENTRE, _DOWN, _MIDDLE + 1, _OUTER)
    for side, place in ((0, inward), (1, outward)):
        pieces = ((start, end, flow[side]) for start, end, flow in moved)
        for node_id, data in bands(pieces, place).items():
            colour = NOBODY if node_id is None else colours[node_id]
            drawn.append(element("path", d=data, fill=colour))
    middle = [
        text(percent(plan.moved_share) if moved else "Nothing", 0, -4, 26, font_weight="700"),
        text("moves", 0, 18, 13),
    ]
    if moved:
        middle.append(text("outer band: to whom", 0, 42, 11, class_="faint"))
        middle.append(text("inner band: from whom", 0, 57, 11, class_="faint"))
    return [*drawn, element("g", "".join(middle), transform=around, text_anchor="middle")]


def _in_sectors(plan: Plan) -> bool:
    """Return whether ranges are too many to be drawn, or too thin to be seen."""
    count = len(plan.ranges)
    return count > RANGES_MAX or plan.moved_share * CELLS < count / 2


def _notes(plan: Plan) -> list[str]:
    what = "copies" if plan.replicas > 1 else "keys"
    said = [
        f"Figures are shares of all {what}. The minimum is what any scheme has to move if all "
        "loads are exactly by weight, before and after."
    ]
    if not plan.exact:
        said.append(
            f"They are those of {SAMPLE} sampled keys: between these placements there are no "
            "ranges of the hash space that move."
        )
    elif _in_sectors(plan):
        said.append(
            f"The {len(plan.ranges)} ranges that move are too thin to be drawn: sectors are "
            "coloured in proportion to what moves."
        )
    return said


def _told(matrix: Mapping[Flow, float], plan: Plan) -> str:
    ordered = sorted(matrix, key=lambda flow: (-matrix[flow], flow[0] or "", flow[1] or ""))
    largest = "; ".join(
        f"{short(told(flow[0]))} to {short(told(flow[1]))} {percent(matrix[flow])}"
        for flow in ordered[:5]
    )
    return f"{percent(plan.moved_share)} moves. The largest flows: {largest or 'none'}."
