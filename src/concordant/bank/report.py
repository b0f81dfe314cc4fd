"""The report of a run: one HTML file that fetches nothing, its pictures drawn as SVG."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Final

from concordant.bank.outcome import Outcome
from concordant.bank.placing import Placing
from concordant.bank.plan import BankPlan
from concordant.errors import UsageError
from concordant.placement import HashRing

# Distinguishable without colour vision, too (Okabe and Ito), and shown with names beside.
_COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.2rem; }
table { border-collapse: collapse; } td, th { padding: .25rem .8rem; text-align: right;
       border-bottom: 1px solid #ddd; } td:first-child, th:first-child { text-align: left; }
.ok { color: #00664a; } .bad { color: #a33100; font-weight: 600; } figure { margin: 0; }
.row { display: flex; flex-wrap: wrap; gap: 2rem; } svg text { font: 12px system-ui, sans-serif; }
"""
_FULL: Final = 1 << 64


def check_writable(path: Path) -> None:
    """Raise UsageError unless a report can be written there; before the run, which takes long."""
    with _writing(path) as draft:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        draft.touch()
        draft.unlink()


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """Give the draft that becomes the file; raises UsageError for what the system refuses."""
    try:
        yield path.with_name(f"{path.name}.tmp")
    except OSError as error:
        raise UsageError(
            f"the report {path} cannot be written ({error.strerror}); name a file in a folder"
            " that is there"
        ) from error


def write_report(
    path: Path, plan: BankPlan, outcome: Outcome, contrast: Mapping[str, Outcome]
) -> None:
    """Write the report, atomically; raises UsageError if it cannot be written there."""
    colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(plan.urls())}
    parts = [
        _headline(outcome),
        "<h2>The ring, before and after</h2><div class=row>",
        _ring("before", plan.first_ring(), colours),
        _ring("after", plan.last_ring(), colours),
        "</div>",
        _moves(plan, outcome),
        "<h2>Load against fair share</h2>",
        _load(outcome.load, colours),
        "<h2>Kills and recoveries</h2>",
        _timeline(outcome),
        _kills(outcome),
        _contrast(contrast),
    ]
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>A bank on {len(colours)} shards</title><style>{_STYLE}</style>"
        f"{''.join(parts)}</html>\n"
    )
    with _writing(path) as draft:
        draft.write_text(page, "utf-8")
        os.replace(draft, path)


def _headline(outcome: Outcome) -> str:
    good = outcome.violations == 0
    verdict = (
        "<p class=ok>✓ The independent audit found nothing wrong.</p>"
        if good
        else f"<p class=bad>✗ The audit found {outcome.violations} violations.</p>"
    )
    rows = "".join(
        f"<tr><td>{name.replace('_', ' ')}<td>{value:,}"
        for name, value in outcome.as_json().items()
        if isinstance(value, int | float)
    )
    findings = "".join(f"<li>{escape(each)}" for each in outcome.findings)
    return (
        f"<h1>A bank that was killed {outcome.kills} times</h1>{verdict}"
        f"<ul>{findings}</ul><table>{rows}</table>"
    )


def _ring(title: str, placing: Placing, colours: Mapping[str, str]) -> str:
    if not isinstance(placing, HashRing):
        return f"<figure><figcaption>{title}: hash modulo n, there is no ring</figcaption></figure>"
    arcs: list[str] = []
    for start, end, owner in _arcs(placing):
        paint = f'stroke="{colours[owner]}" stroke-width="26" fill="none"'
        arcs.append(f'<path d="{_arc(start, end)}" {paint}/>')
    names = "".join(
        f'<text x="130" y="{112 + 17 * number}" text-anchor="middle" fill="{colours[each.id]}">'
        f"■ {escape(each.id)}</text>"
        for number, each in enumerate(placing)
    )
    return (
        f'<figure><svg width="260" height="260" role="img" aria-label="ring {title}">'
        f"{''.join(arcs)}{names}</svg><figcaption>{title}</figcaption></figure>"
    )


def _arcs(ring: HashRing) -> Iterable[tuple[float, float, str]]:
    """Yield the shares of the circle in order, as fractions from 0 to 1."""
    for first, last, owner in ring.arcs():
        if owner is not None:
            yield first / _FULL, last / _FULL, owner


def _arc(start: float, end: float) -> str:
    (x1, y1), (x2, y2) = (_point(at) for at in (start, end))
    large = 1 if end - start > 0.5 else 0
    return f"M{x1:.2f} {y1:.2f}A110 110 0 {large} 1 {x2:.2f} {y2:.2f}"


def _point(at: float) -> tuple[float, float]:
    angle = 2 * math.pi * at
    return 130 + 110 * math.sin(angle), 130 - 110 * math.cos(angle)


def _moves(plan: BankPlan, outcome: Outcome) -> str:
    return (
        f"<p>{escape(plan.joining)} joined while transfers went on. <b>{outcome.moved}</b> "
        f"accounts moved; the least possible with this ring is <b>{outcome.moved_minimum}</b>, "
        f"a fair share of all accounts is {outcome.moved_fair_share:g}.</p>"
    )


def _load(load: Mapping[str, int], colours: Mapping[str, str]) -> str:
    fair = sum(load.values()) / max(len(load), 1)
    scale = 420 / max([*load.values(), fair, 1])
    bars = "".join(
        f'<text x="0" y="{17 + 26 * row}">{escape(name)}</text>'
        f'<rect x="90" y="{4 + 26 * row}" height="18" width="{count * scale:.1f}"'
        f' fill="{colours[name]}"/>'
        f'<text x="{96 + count * scale:.1f}" y="{17 + 26 * row}">{count}</text>'
        for row, (name, count) in enumerate(load.items())
    )
    height = 26 * len(load) + 22
    x = 90 + fair * scale
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 20}" stroke="#222"/>'
    return (
        f'<svg width="560" height="{height}" role="img" aria-label="accounts a shard">{bars}{line}'
        f'<text x="{x:.1f}" y="{height - 6}" text-anchor="middle">fair share {fair:g}</text></svg>'
    )


_MARKS: Final = {"kill": "✗", "recovered": "✓", "join": "+", "joined": "+"}


def _timeline(outcome: Outcome) -> str:
    lanes = sorted({moment.slot for moment in outcome.moments})
    end_s = max([outcome.seconds, *(moment.at_s for moment in outcome.moments), 0.001])
    marks = []
    for moment in outcome.moments:
        x, y = 110 + 600 * moment.at_s / end_s, 20 + 28 * lanes.index(moment.slot)
        marks.append(
            f'<text x="{x:.1f}" y="{y}" text-anchor="middle"><title>{moment.at_s:.2f} s '
            f"{escape(moment.kind)}: {escape(moment.text)}</title>{_MARKS[moment.kind]}</text>"
        )
    names = "".join(
        f'<text x="0" y="{20 + 28 * row}">{"the bank" if slot < 0 else f"worker {slot}"}</text>'
        f'<line x1="110" x2="710" y1="{26 + 28 * row}" y2="{26 + 28 * row}" stroke="#ccc"/>'
        for row, slot in enumerate(lanes)
    )
    height = 28 * len(lanes) + 30
    return (
        f'<svg width="740" height="{height}" role="img" aria-label="time line">{names}'
        f'{"".join(marks)}<text x="110" y="{height - 6}">0 s</text>'
        f'<text x="710" y="{height - 6}" text-anchor="end">{end_s:.1f} s</text></svg>'
        "<p>✗ killed in the middle of a transaction, ✓ that transaction recovered by another "
        "process, + a shard joins, and has its accounts</p>"
    )


def _kills(outcome: Outcome) -> str:
    if not outcome.kill_details:
        return ""
    rows = "".join(
        f"<tr><td>{kill.pid}<td>{escape(kill.gid)}<td>{escape(kill.state)}<td>{kill.recovered_by}"
        for kill in outcome.kill_details
    )
    return (
        "<table><tr><th>killed pid<th>transaction<th>its state then<th>recovered by pid"
        f"{rows}</table>"
    )


def _contrast(contrast: Mapping[str, Outcome]) -> str:
    if not contrast:
        return ""
    head = "".join(
        f"<th>{escape(name if name == 'concordant' else f'without {name}')}" for name in contrast
    )
    rows = (
        ("workers killed", [f"{each.kills}" for each in contrast.values()]),
        ("money before", [f"{each.total_before:,}" for each in contrast.values()]),
        ("money after", [f"{each.total_after:,}" for each in contrast.values()]),
        (
            "created or destroyed",
            [f"{each.total_after - each.total_before:+,}" for each in contrast.values()],
        ),
        ("rules broken", [f"{each.violations}" for each in contrast.values()]),
        ("accounts moved", [f"{each.moved}" for each in contrast.values()]),
        ("accounts that had to", [f"{each.moved_minimum}" for each in contrast.values()]),
    )
    body = "".join(
        f"<tr><td>{title}" + "".join(f"<td>{value}" for value in values) for title, values in rows
    )
    return f"<h2>The same input, the same faults</h2><table><tr><th>{head}{body}</table>"
