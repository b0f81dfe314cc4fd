"""Every cell of the table of a saga's crash points is filled, and every test it names exists."""

from __future__ import annotations

import pytest

from tests.crash.cells import collected, lacking
from tests.crash.combos import COMBOS
from tests.crash.saga_points import TABLE, WAYS
from tests.crash.saga_scenarios import POINTS
from tests.crash.stage import Combo


@pytest.fixture(scope="module")
def found() -> list[str]:
    """Return the ids of the saga's crash tests."""
    return collected("tests/crash/test_saga_points.py")


def test_every_saga_point_has_its_row() -> None:
    assert [*TABLE] == [f"D{number}" for number in range(1, 16)]
    assert {point.row for point in POINTS} <= set(TABLE)
    assert set(WAYS) <= set(TABLE)


@pytest.mark.parametrize("combo", COMBOS, ids=str)
def test_every_cell_of_the_saga_table_is_filled(combo: Combo, found: list[str]) -> None:
    assert lacking(TABLE, WAYS, combo, found) == []
