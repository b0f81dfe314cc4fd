"""Drawings of placements and plans: valid, harmless, and true to what they show."""

from __future__ import annotations

import re
from collections import defaultdict
from math import atan2, pi
from xml.etree import ElementTree

import pytest

from concordant.placement import HashRing, ModuloRing, Node, Placement, Plan, Rendezvous, Slots
from concordant.placement.drawing.circle import CELLS, in_proportion, mostly
from concordant.placement.drawing.colours import NOBODY, colours_of
from concordant.placement.drawing.svg import FAINT, INK, escaped, fitted, percent, width_of
from concordant.placement.tables.points import SPACE
from tests.placement_kinds import Kind, every_kind

SVG = "{http://www.w3.org/2000/svg}"
BYTES_MAX = 300_000
# Where the circles stand on the page, and how they are divided.
CENTRE_X, PLACEMENT_Y, PLAN_Y, OUTER = 232, 324, 348, 184
HOSTILE = [
    "<script>alert(1)</script>",
    '"/><image href="http://evil/x.png"/>',
    "a&b;<!--]]>",
    "\x01\x1b[31m\ufffe\u202e",
    "日本語" * 20,
    "x" * 255,
    "\N{GRINNING FACE}' onload='alert(1)",
]


def nodes(count: int, name: str = "cache") -> list[Node]:
    return [Node(f"{name}-{number}") for number in range(count)]


def parsed(svg: str) -> ElementTree.Element:
    """Return the root, after what must hold of every drawing."""
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    names = root.get("aria-labelledby", "").split()
    assert [root.find(f"*[@id='{name}']").tag for name in names] == [f"{SVG}title", f"{SVG}desc"]  # type: ignore[union-attr]
    known = {"svg", "title", "desc", "style", "g", "rect", "line", "circle", "path", "text"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= known
    for element in root.iter():
        assert not [name for name in element.attrib if name.startswith("on") or "href" in name]
    assert "url(" not in svg
    assert svg.count("http") - sum(text.count("http") for text in root.itertext()) == 1
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    for text in root.iter(f"{SVG}text"):
        assert float(text.get("y", 0)) < height
        assert float(text.get("x", 0)) < width
    assert len(svg.encode()) < BYTES_MAX
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def turned(data: str, x: float, y: float) -> float:
    """Return what part of the circle the pieces of a path cover, by their outer edges."""
    total = 0.0
    for piece in data.split("M")[1:]:
        outer = piece.partition("L" if "A" not in piece else "A")
        start = outer[0].split()
        stop = (outer[2].split("L")[0] if "A" not in piece else outer[2]).split("L")[0].split()[-2:]
        one, two = (atan2(float(across) - x, y - float(down)) for across, down in (start, stop))
        total += (two - one) % (2 * pi)
    return total / (2 * pi)


def circle_of(root: ElementTree.Element, y: float) -> dict[str, float]:
    """Return by colour what part of the circle is drawn, of the outer band."""
    found: defaultdict[str, float] = defaultdict(float)
    for path in root.iter(f"{SVG}path"):
        data = path.get("d", "")
        first = re.match(r"M([\d.-]+) ([\d.-]+)", data)
        assert first
        away = ((float(first[1]) - CENTRE_X) ** 2 + (float(first[2]) - y) ** 2) ** 0.5
        if abs(away - OUTER) < 1 and "C" not in data:
            found[path.get("fill", "")] += turned(data, CENTRE_X, y)
    return found


# --- placements ---------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_every_placement_is_drawn(kind: Kind, count: int) -> None:
    placement = kind.placement(count, zoned=True)
    svg = placement.to_svg()
    root = parsed(svg)
    assert "hunter2" not in svg
    assert svg == kind.placement(count, zoned=True).to_svg()
    shown = texts(root)
    assert f"{type(placement).__name__} of {count} node{'s' * (count != 1)}" in shown
    assert all(node.id in shown for node in placement)
    if not kind.ranges:
        assert any("no ranges" in text for text in shown)
    assert bool(list(root.iter(f"{SVG}circle"))) is kind.ranges


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 5, 10, 100])
@pytest.mark.parametrize("make", [HashRing, ModuloRing, Slots])
def test_the_circle_shows_the_shares(make: type[HashRing], count: int) -> None:
    placement = make(nodes(count))
    drawn = circle_of(parsed(placement.to_svg()), PLACEMENT_Y)
    expected: defaultdict[str, float] = defaultdict(float)
    for node_id, share in placement.stats().shares.items():
        expected[colours_of(placement.nodes_by_id)[node_id]] += share
    assert sum(drawn.values()) == pytest.approx(1.0, abs=0.03)
    for colour, share in expected.items():
        assert drawn[colour] == pytest.approx(share, abs=0.03), colour


def test_a_range_is_where_it_belongs() -> None:
    # A quarter of the hash space each, from the top clockwise.
    placement = Slots.assigned([Node("a"), Node("b")], [*"abab"])
    root = parsed(placement.to_svg())
    path = next(path for path in root.iter(f"{SVG}path") if path.get("fill") == "#0072b2")
    starts = re.findall(r"M([\d.-]+) ([\d.-]+)", path.get("d", ""))
    assert starts == [("232.0", "140.0"), ("232.0", "508.0")]


def test_bars_are_as_long_as_loads() -> None:
    placement = HashRing([Node("a"), Node("b", 3.0), Node("c", 0.5)], 8)
    root = parsed(placement.to_svg())
    bars = [float(rect.get("width", 0)) for rect in root.iter(f"{SVG}rect") if rect.get("rx")]
    loads = list(placement.stats().loads.values())
    assert [bar / bars[0] for bar in bars] == pytest.approx(
        [load / loads[0] for load in loads], rel=1e-3
    )
    for node_id, load in placement.stats().loads.items():
        shown = texts(root)
        assert f"{load:.2f}\N{MULTIPLICATION SIGN}" == shown[shown.index(node_id) + 1]


def test_hostile_ids_are_harmless() -> None:
    members = [Node(node_id, zone=node_id) for node_id in HOSTILE]
    plan = HashRing(members[:3]).plan(HashRing(members))
    for svg in (HashRing(members).to_svg(), Rendezvous(members).to_svg(), plan.to_svg()):
        root = parsed(svg)
        assert "<script" not in svg
        assert not re.search("[\x00-\x09\x0b-\x1f\ufffe\u202e]", svg)
        assert any(text.startswith("<script>") for text in texts(root))


@pytest.mark.slow
@pytest.mark.parametrize("count", [100, 120, 121, 1000])
def test_large_placements_stay_small_files(count: int) -> None:
    members = [Node(f"{number}-{'long' * 50}") for number in range(count)]
    root = parsed(HashRing(members).to_svg())
    assert any("each sector" in text for text in texts(root))
    assert ("the 16 most loaded" in texts(root)) is (count > 120)


def test_of_many_nodes_the_most_and_least_loaded_are_named() -> None:
    ring = HashRing(nodes(200))
    loads = ring.stats().loads
    ordered = sorted(loads, key=lambda node_id: (-loads[node_id], node_id))
    named = [text for text in texts(parsed(ring.to_svg())) if text in loads]
    assert named == [*ordered[:16], *ordered[-16:]]


def test_the_order_of_nodes_does_not_matter() -> None:
    members = nodes(9)
    assert HashRing(members).to_svg() == HashRing(members[::-1]).to_svg()


# --- plans --------------------------------------------------------------------------------

TEN = HashRing(nodes(10))


def total_of(root: ElementTree.Element) -> float:
    """Return the sum of what the nodes on the left give, in percent, as it is printed."""
    shown = texts(root)
    return sum(
        float(text.get("y", 0)) and float((text.text or "0").split()[0])
        for text in root.iter(f"{SVG}text")
        if (text.text or "").endswith(" %")
        and text.get("text-anchor") == "end"
        and text.get("class") == "faint"
        and shown
    )


PLANS: dict[str, Plan] = {
    "one joins": TEN.plan(TEN.with_nodes(add=[Node("new")])),
    "weights": TEN.plan(TEN.with_nodes(reweight={"cache-1": 3.0, "cache-2": 0.5})),
    "all others": HashRing(nodes(40)).plan(HashRing(nodes(30, "other"))),
    "from nobody": HashRing().plan(TEN),
    "to nobody": TEN.plan(HashRing()),
    "replicas": TEN.plan(TEN.with_nodes(add=[Node("new")]), replicas=3),
    "asked": ModuloRing(nodes(10)).plan(Slots(nodes(10))),
    "many ranges": HashRing(nodes(10), 1000).plan(HashRing(nodes(11), 999)),
}


@pytest.mark.parametrize("name", PLANS)
def test_every_plan_is_drawn(name: str) -> None:
    plan = PLANS[name]
    svg = plan.to_svg()
    root = parsed(svg)
    assert svg == plan.to_svg()
    assert bool(list(root.iter(f"{SVG}circle"))) is plan.exact
    shown = texts(root)
    assert percent(plan.moved_share) in shown
    assert percent(plan.minimum_share) in shown
    assert total_of(root) == pytest.approx(100 * plan.moved_share, abs=0.6)
    for side in (0, 1):
        totals: defaultdict[str | None, float] = defaultdict(float)
        for flow, share in plan.matrix.items():
            totals[flow[side]] += share
        most = max(totals, key=lambda each: totals[each])
        assert (most or "(nobody)") in shown
    assert "others" in " ".join(shown) or name != "all others"


@pytest.mark.parametrize(
    "name", ["one joins", "weights", "all others", "from nobody", "many ranges"]
)
def test_the_circle_shows_what_moves(name: str) -> None:
    plan = PLANS[name]
    drawn = circle_of(parsed(plan.to_svg()), PLAN_Y)
    assert sum(drawn.values()) == pytest.approx(plan.moved_share, abs=0.03)


def test_a_moved_range_is_where_it_belongs() -> None:
    members = [Node("a"), Node("b")]
    plan = Slots.assigned(members, [*"abaa"]).plan(Slots.assigned(members, [*"abab"]))
    root = parsed(plan.to_svg())
    bands = [path for path in root.iter(f"{SVG}path") if "C" not in path.get("d", "")]
    starts = {path.get("fill"): re.match("M([0-9.]+)", path.get("d", ""))[1] for path in bands}  # type: ignore[index]
    colours = colours_of(["a", "b"])
    # It begins at nine o'clock: around the circle in the taker's colour, within in the giver's.
    assert starts == {colours["b"]: "48.0", colours["a"]: "76.0"}


def test_ribbons_say_what_flows() -> None:
    plan = PLANS["one joins"]
    root = parsed(plan.to_svg())
    groups = root.iter(f"{SVG}g")
    titles = {title.text for group in groups for title in group.findall(f"{SVG}title")}
    assert titles == {
        f"{from_id} to {to_id}: {percent(share)}" for (from_id, to_id), share in plan.matrix.items()
    }


def test_nothing_moves() -> None:
    for placement in (TEN, Rendezvous(nodes(3))):
        shown = texts(parsed(placement.plan(placement).to_svg()))
        assert any("Nothing" in text for text in shown)
        assert "from" not in shown


# --- the parts ----------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", [INK, FAINT])
def test_text_is_read_on_white(colour: str) -> None:
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5


def test_colours_differ() -> None:
    colours = list(colours_of(map(str, range(23))).values())
    assert len({*colours, NOBODY}) == 24
    assert list(colours_of(map(str, range(24))).values())[23] == colours[0]


def test_escaping() -> None:
    assert escaped("<a href='x'>&\"") == "&lt;a href=&#39;x&#39;&gt;&amp;&quot;"
    assert escaped("a\0b\x1b\u202ec\ufffe") == "a\ufffdb\ufffd\ufffdc\ufffd"


def test_what_is_too_long_loses_its_middle() -> None:
    assert fitted("short", 100, 10) == "short"
    cut = fitted("cache-eu-west-1-0042.example.internal", 100, 10)
    assert width_of(cut, 10) <= 100
    assert cut.startswith("cache")
    assert cut.endswith("ternal")
    assert width_of("日本", 10) > width_of("ab", 10)
    assert fitted("wide", 1, 10) == "…"


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.1234, "12.3 %"),
        (0.01234, "1.23 %"),
        (0.0001234, "0.012 %"),
        (0.000000123, "1e-05 %"),
    ],
)
def test_shares_are_said_briefly(share: float, said: str) -> None:
    assert percent(share) == said


def test_sectors_have_the_kind_that_has_most_of_them() -> None:
    cell = SPACE // CELLS
    pieces = [(0, cell + cell // 3, "a"), (cell + cell // 3, 3 * cell, "b"), (3 * cell, SPACE, "a")]
    assert mostly(pieces) == [(0, cell, "a"), (cell, 3 * cell, "b"), (3 * cell, SPACE, "a")]


def test_sectors_in_proportion_make_up_for_what_is_lost() -> None:
    cell = SPACE // CELLS
    pieces = [(place * cell, place * cell + cell // 4, "a") for place in range(CELLS)]
    sectors = in_proportion(pieces)
    assert sum(end - start for start, end, _ in sectors) == SPACE // 4
    assert len(sectors) == CELLS // 4


def test_subclasses_need_no_drawing_of_their_own() -> None:
    class Named(HashRing):
        pass

    svg = Named(nodes(2)).to_svg()
    assert isinstance(Named(), Placement)
    assert "Named of 2 nodes" in texts(parsed(svg))
