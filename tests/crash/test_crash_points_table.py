"""Every cell of the table of crash points is filled, and every test that it names exists."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.crash.cells import Cell, Covered, Reason, Row, collected, lacking
from tests.crash.combos import COMBOS
from tests.crash.points import TABLE, WAYS
from tests.crash.scenarios import POINTS
from tests.crash.stage import Combo


@pytest.fixture(scope="module")
def found() -> list[str]:
    """Return the ids of all crash tests."""
    return collected("tests/crash")


def test_every_point_has_its_row() -> None:
    assert [*TABLE] == [f"A{number}" for number in range(1, 20)]
    assert {point.row for point in POINTS} <= set(TABLE)
    assert set(WAYS) <= set(TABLE)


@pytest.mark.parametrize("combo", COMBOS, ids=str)
def test_every_cell_is_filled(combo: Combo, found: list[str]) -> None:
    assert lacking(TABLE, WAYS, combo, found) == []


# --- the check can fail -------------------------------------------------------------------


@pytest.mark.parametrize("cell", [None, Covered(()), Reason(""), Reason("  " * 20), Reason("rare")])
def test_a_cell_without_test_and_reason_is_found(cell: Cell | None) -> None:
    for combo in COMBOS:
        (complaint,) = lacking({"A1": Row("what", cell)}, {}, combo, ["test_a"])
        assert complaint.startswith(f"A1 on {combo}: ")
        special = Row("what", Covered(("test_a",)), by_pair={combo.pair: cell})  # type: ignore[dict-item]
        assert len(lacking({"A1": special}, {}, combo, ["test_a"])) == 1


def test_a_test_that_is_gone_is_found(found: list[str]) -> None:
    lost = f"test_point[{COMBOS[-1]}-lose-A2-first]"
    assert lost in found
    (complaint,) = lacking(TABLE, WAYS, COMBOS[-1], [each for each in found if each != lost])
    assert complaint == f"A2 on {COMBOS[-1]}: there is no test {lost}"


def test_a_way_that_the_table_has_forgotten_is_found(found: list[str]) -> None:
    row = replace(TABLE["A2"], usual=Covered(("test_point[{combo}-crash-A2-*]",)))
    complaints = lacking({"A2": row}, WAYS, COMBOS[0], found)
    assert [each.rpartition(" ")[2] for each in complaints] == [
        "'-lose-A2-first'",
        "'-lose-A2-last'",
    ]
