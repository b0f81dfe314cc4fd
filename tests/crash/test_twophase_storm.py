"""Processes that are killed and stopped at random: no money is lost, and nothing stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.combos import COMBOS, param
from tests.crash.stage import Combo
from tests.crash.storm import Storm
from tests.crash.theatre import Theatre


@pytest.mark.slow
@pytest.mark.parametrize("combo", [param(combo) for combo in COMBOS])
def test_a_storm_tears_nothing(combo: Combo, theatre: Theatre, tmp_path: Path) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        assert Storm(seed=1, strikes=6).run(stage) > 0
