"""Every bug of the table is shown absent for every driver, by tests that exist."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.known_bugs.placement import PLACEMENT_BUGS
from tests.known_bugs.placements import MAKERS
from tests.known_bugs.table import EVERY, LOCK_BUGS, LOCKS, TRANSACTIONS, Because, Bug
from tests.known_bugs.transactions import TRANSACTION_BUGS

ROOT = Path(__file__).resolve().parents[2]
REASON_MIN = 30
PLACEMENTS = tuple(MAKERS)

Found = dict[str, set[str]]


def with_twin(test: str) -> list[str]:
    """Return the id, and that of the same test for threads if it is generated."""
    if "/aio/test_aio_" not in test:
        return [test]
    return [test, test.replace("/aio/test_aio_", "/sync/test_sync_")]


def named(bugs: Sequence[Bug], drivers: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return each id that the table names, with its bug and driver."""
    return [
        (bug.name, driver, test)
        for bug in bugs
        for driver in drivers
        if not isinstance(cell := bug.cell(driver), Because)
        for each in cell
        for test in with_twin(each)
    ]


def collect(files: set[str]) -> Found:
    """Return what pytest would run of these files: the parameters by test."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *sorted(files)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found: Found = defaultdict(set)
    for line in done.stdout.splitlines():
        test, _, given = line.partition("[")
        if "::" in test:
            found[test].update(given.removesuffix("]").split("-"))
    return found


def lacking(bugs: Sequence[Bug], drivers: Sequence[str], found: Found) -> list[str]:
    """Return what is wrong with the table."""
    complaints = []
    for bug in bugs:
        if odd := set(bug.shown) - {EVERY, *drivers}:
            complaints.append(f"{bug.name}: there is no driver {', '.join(sorted(odd))}")
        for driver in drivers:
            cell = bug.cell(driver)
            if not cell or (isinstance(cell, Because) and len(cell.reason) < REASON_MIN):
                complaints.append(f"{bug.name}, {driver}: neither a test nor a reason")
    for name, driver, test in named(bugs, drivers):
        base, own, _ = test.partition("[*]")
        if base not in found or (own and driver not in found[base]):
            complaints.append(f"{name}, {driver}: there is no {test}")
    return complaints


@pytest.fixture(scope="module")
def found() -> Found:
    every = [
        *named(LOCK_BUGS, LOCKS),
        *named(TRANSACTION_BUGS, TRANSACTIONS),
        *named(PLACEMENT_BUGS, PLACEMENTS),
    ]
    files = {test.partition("::")[0] for _, _, test in every}
    assert [file for file in files if not (ROOT / file).exists()] == []
    return collect(files)


def test_every_bug_of_locks_is_shown_absent(found: Found) -> None:
    assert lacking(LOCK_BUGS, LOCKS, found) == []


def test_every_bug_of_transactions_is_shown_absent(found: Found) -> None:
    assert lacking(TRANSACTION_BUGS, TRANSACTIONS, found) == []


def test_every_bug_of_placement_is_shown_absent(found: Found) -> None:
    assert lacking(PLACEMENT_BUGS, PLACEMENTS, found) == []


def test_no_bug_stands_there_twice() -> None:
    bugs = (*LOCK_BUGS, *TRANSACTION_BUGS, *PLACEMENT_BUGS)
    names = [bug.name for bug in bugs]
    assert len(names) == len(set(names))
    assert all(bug.seen_in for bug in bugs)


# --- the check can fail -------------------------------------------------------------------

HERE: Found = {"tests/x.py::test_a": {"memory", "sqlite"}, "tests/y.py::test_b": {""}}


@pytest.mark.parametrize(
    ("shown", "complaint"),
    [
        ({}, "neither a test nor a reason"),
        ({"sqlite": Because("rare")}, "neither a test nor a reason"),
        ({"sqlite": ("tests/x.py::test_gone",)}, "there is no tests/x.py::test_gone"),
        ({"redis": ("tests/x.py::test_a[*]",)}, "there is no tests/x.py::test_a[*]"),
        ({"oracle": ("tests/y.py::test_b",)}, "there is no driver oracle"),
        (
            {"sqlite": ("tests/aio/test_aio_x.py::test_a",)},
            "there is no tests/sync/test_sync_x.py::test_a",
        ),
    ],
)
def test_what_is_missing_is_found(
    shown: dict[str, tuple[str, ...] | Because], complaint: str
) -> None:
    driver = "redis" if "redis" in shown else "sqlite"
    assert any(complaint in each for each in lacking([Bug("a", "b", shown)], [driver], HERE))


def test_what_is_there_is_not_complained_of() -> None:
    bug = Bug("a", "b", {EVERY: ("tests/x.py::test_a[*]", "tests/y.py::test_b")})
    assert lacking([bug], ["memory", "sqlite"], HERE) == []
    why = Because("a reason that is long enough to be one")
    assert lacking([Bug("a", "b", {EVERY: why})], ["memory"], HERE) == []
