"""Ctrl-C at every step of a saga: recovery finds it, and nothing happens twice."""

from __future__ import annotations

import gc
from functools import partial
from pathlib import Path

import pytest

from concordant import StepFailed
from tests.provision.memory import MEMORY
from tests.provision.sqlite import SQLITE
from tests.surface.interrupting import interrupted_at
from tests.surface.sync.moving import Banks, coordinating, failing

STEPS_MAX = 3000


@pytest.mark.parametrize("log_backend", [pytest.param(MEMORY, id="memory")])
@pytest.mark.parametrize("refused", [False, True], ids=["committing", "aborting"])
def test_wherever_it_is_interrupted_it_comes_to_its_end_once(
    log_url: str, tmp_path: Path, refused: bool
) -> None:
    banks = Banks(SQLITE, tmp_path)
    ada, bob = banks.balances()
    saga = banks.saga(attempts_max=10)
    if refused:
        banks.inside["credit"] = failing(error=StepFailed)
    with coordinating(log_url, saga) as coordinator:
        for at in range(1, STEPS_MAX):
            # To and fro, so that the money lasts.
            amount = 1 if at % 2 else -1
            run = partial(coordinator.run, saga, {"amount": amount}, gid=f"g-{at}")
            where = interrupted_at(at, run)
            # What traced the frames keeps them in a cycle, and they what they worked on.
            gc.collect(1)
            coordinator.recover()
            assert coordinator.sagas() == [], where
            assert run().state == ("aborted" if refused else "committed"), where
            if not refused:
                ada, bob = ada - amount, bob + amount
            assert banks.balances() == (ada, bob), where
            if not where:
                break
        assert 100 < at < STEPS_MAX
