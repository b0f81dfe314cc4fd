"""Every cell of the table of a saga's crash points is filled, and every test it names exists."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.crash.combos import COMBOS
from tests.crash.harness import ROOT
from tests.crash.points import Reason
from tests.crash.saga_points import TABLE
from tests.crash.saga_scenarios import POINTS
from tests.crash.stage import Combo


@pytest.fixture(scope="module")
def collected() -> list[str]:
    """Return the ids of the saga's crash tests, without their file."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q"]
    done = subprocess.run(
        [*command, "tests/crash/test_saga_points.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line]


def test_every_saga_point_has_its_row() -> None:
    assert [*TABLE] == [f"D{number}" for number in range(1, 16)]
    assert {point.row for point in POINTS} <= set(TABLE)


@pytest.mark.parametrize("combo", COMBOS, ids=str)
def test_every_cell_of_the_saga_table_is_filled(combo: Combo, collected: list[str]) -> None:
    empty = []
    for name, row in TABLE.items():
        cell = row.cell(combo)
        if isinstance(cell, Reason):
            assert len(cell.why) > 20, f"{name} on {combo}: that is no reason"
            continue
        for wanted in cell.ids if cell else [f"a test of {name}"]:
            pattern = re.escape(wanted.format(combo=combo)).replace(r"\*", ".*")
            if not any(re.fullmatch(pattern, found) for found in collected):
                empty.append(f"{name} on {combo} lacks {wanted.format(combo=combo)}")
    assert not empty, "\n".join(empty)
