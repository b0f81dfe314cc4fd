"""The cells of a table of crash points, and what is wrong with a table.

A cell is the ids of its tests, in which `{combo}` stands for the combination and `*` for
anything, or the reason why there is nothing to test.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.crash.harness import ROOT
from tests.crash.stage import Combo

# A reason says why; a word or two do not.
_REASON_CHARS_MIN = 20


@dataclass(frozen=True, slots=True)
class Covered:
    """The ids of the tests that cover a cell."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why there is no test for a cell."""

    why: str


Cell = Covered | Reason


@dataclass(frozen=True, slots=True)
class Row:
    """One crash point: what is special about a pair or a log goes before what is usual."""

    what: str
    usual: Cell | None
    by_pair: Mapping[str, Cell] = field(default_factory=dict)
    by_log: Mapping[str, Cell] = field(default_factory=dict)

    def cell(self, combo: Combo) -> Cell | None:
        """Return what covers the row on these databases; None: nobody has said."""
        for special, key in ((self.by_pair, combo.pair), (self.by_log, combo.log.name)):
            if key in special:
                return special[key]
        return self.usual


Ways = Mapping[str, Sequence[str]]
"""For a row the parts of ids that its tests must have, beyond what else it names."""


def lacking(table: Mapping[str, Row], ways: Ways, combo: Combo, found: Sequence[str]) -> list[str]:
    """Return what is wrong with the table's cells on this combination; `found` are all ids."""
    return [
        f"{name} on {combo}: {complaint}"
        for name, row in table.items()
        for complaint in _complaints(row.cell(combo), ways.get(name, ()), combo, found)
    ]


def _complaints(
    cell: Cell | None, ways: Sequence[str], combo: Combo, found: Sequence[str]
) -> list[str]:
    if isinstance(cell, Reason):
        enough = len(cell.why.strip()) >= _REASON_CHARS_MIN
        return [] if enough else [f"{cell.why!r} is no reason"]
    if cell is None or not cell.ids:
        return ["has neither a test nor a reason"]
    wanted = [each.format(combo=combo) for each in cell.ids]
    missing = [f"there is no test {each}" for each in wanted if not matches(each, found)]
    forgotten = [way for way in ways if not any(way in each for each in wanted)]
    return missing + [f"names no test of the way {way!r}" for way in forgotten]


def matches(wanted: str, found: Sequence[str]) -> bool:
    """Tell whether one of the ids is the wanted one, in which `*` stands for anything."""
    pattern = re.compile(re.escape(wanted).replace(r"\*", ".*"))
    return any(pattern.fullmatch(each) for each in found)


def collected(*paths: str) -> list[str]:
    """Return the ids of all tests in the files and folders, without the names of their files."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line]
