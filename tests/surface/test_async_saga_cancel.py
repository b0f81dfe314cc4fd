"""A saga cancelled at every await there is: recovery finds it, and nothing happens twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from concordant import StepFailed
from tests.provision.memory import MEMORY
from tests.provision.sqlite import SQLITE
from tests.surface.aio.moving import Banks, coordinating, failing
from tests.surface.stepping import WHENS, When, cancelled_at

STEPS_MAX = 150


@pytest.mark.parametrize("log_backend", [pytest.param(MEMORY, id="memory")])
@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("refused", [False, True], ids=["committing", "aborting"])
async def test_wherever_it_is_cancelled_it_comes_to_its_end_once(
    log_url: str, tmp_path: Path, when: When, refused: bool
) -> None:
    banks = Banks(SQLITE, tmp_path)
    ada, bob = banks.balances()
    saga = banks.saga(attempts_max=10)
    if refused:
        banks.inside["credit"] = failing(error=StepFailed)
    async with coordinating(log_url, saga) as coordinator:
        for at in range(1, STEPS_MAX):

            async def run(gid: str = f"g-{at}") -> str:
                return (await coordinator.run(saga, {"amount": 1}, gid=gid)).state

            task, was_struck = await cancelled_at(at, when, run)
            if was_struck:
                assert task.cancelled() or task.cancelling() or task.done()
            await coordinator.recover()
            # Nothing is left with anybody: neither a turn to write nor a hold on the gid.
            assert await coordinator.sagas() == []
            assert await run() == ("aborted" if refused else "committed")
            if not refused:
                ada, bob = ada - 1, bob + 1
            assert banks.balances() == (ada, bob)
            if not was_struck:
                break
        assert 10 <= at < STEPS_MAX
