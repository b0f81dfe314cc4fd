"""The killer of the bank's workers: whom it waits for, and when it makes fewer kills."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from concordant.bank.books import Shard
from concordant.bank.crew import Crew
from concordant.bank.killer import Killer
from concordant.bank.opening import open_bank
from concordant.bank.plan import BankPlan
from concordant.bank.setup import Asked, establish
from concordant.bank.stores import questions

pytestmark = pytest.mark.slow

_WAIT_S = 30.0


def _make_stores(plan: BankPlan) -> None:
    for _, ask in questions(plan):
        ask()


class Scene:
    """A bank that was opened, its crew and its killer."""

    def __init__(self, directory: Path, transfers: int, kills: int) -> None:
        asked = Asked(directory, transfers=transfers, kills=kills, workers=1, seed=4)
        self.plan: BankPlan = establish(asked, _make_stores)
        accounts, wanted = self.plan.inputs()
        with ExitStack() as opened:
            urls = self.plan.urls().items()
            shards = {name: opened.enter_context(closing(Shard(url))) for name, url in urls}
            open_bank(self.plan, accounts, shards)
        self.crew = Crew(self.plan)
        self.killer = Killer(self.plan, self.crew, wanted, transfers)

    def listen(self, timeout_s: float = 0) -> None:
        """Take note of what workers say."""
        for _ in self.crew.listen(timeout_s):
            pass

    def close(self) -> None:
        """End all processes."""
        self.crew.close()
        self.killer.close()


@pytest.fixture
def scenes(tmp_path: Path) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_workers_that_are_starting_are_waited_for(tmp_path: Path, scenes: ExitStack) -> None:
    scene = scenes.enter_context(closing(Scene(tmp_path, transfers=3000, kills=1)))
    worker = scene.crew.start(0)
    victim = scene.killer.strike(scene.listen)
    assert victim is worker
    assert [kill.pid for kill in scene.killer.kills] == [worker.pid]
    assert "prepared" in scene.killer.kills[0].state


def test_when_all_are_done_there_are_fewer_kills(tmp_path: Path, scenes: ExitStack) -> None:
    scene = scenes.enter_context(closing(Scene(tmp_path, transfers=4, kills=2)))
    worker = scene.crew.start(0)
    end_s = time.monotonic() + _WAIT_S
    while not worker.done and time.monotonic() < end_s:
        scene.listen(0.1)
    assert worker.done
    for _ in range(2):
        assert scene.killer.due(4)
        assert scene.killer.strike(scene.listen) is None
    # Nobody is struck for ever at points that had no kill.
    assert not scene.killer.due(4)
    assert scene.killer.kills == []
