"""Transfers by several processes, which are killed and stopped at random moments."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from tests.crash.books import AMOUNT, BEFORE
from tests.crash.harness import Child
from tests.crash.job import World, enough_file
from tests.crash.stage import Stage

WORKERS: Final = 3
_WORLDS: Final[tuple[World, World]] = ("aio", "sync")
_OWNER_TTL_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Storm:
    """How bad the weather is; the seed fixes what is done, not how it falls together."""

    seed: int
    strikes: int = 12

    def run(self, stage: Stage) -> int:
        """Let it rage, then settle everything; returns how many transfers were made."""
        dice = random.Random(self.seed)
        workers = [self._start(stage, dice) for _ in range(WORKERS)]
        for _ in range(self.strikes):
            time.sleep(dice.uniform(0.02, 0.3))
            number = dice.randrange(WORKERS)
            if dice.random() < 0.6:
                workers[number].kill()
                workers[number] = self._start(stage, dice)
            else:
                workers[number].stop()
                time.sleep(dice.uniform(0.0, 3 * _OWNER_TTL_S))
                workers[number].resume()
        for worker in workers:
            enough_file(worker.job.folder).touch()
        for worker in workers:
            worker.ended()
        stage.settle()
        return check(stage)

    def _start(self, stage: Stage, dice: random.Random) -> Child:
        world = dice.choice(_WORLDS)
        gid = f"s{dice.randrange(10**9)}"
        return stage.start(stage.job("transfers", world, gid=gid, owner_ttl_s=_OWNER_TTL_S))


def check(stage: Stage) -> int:
    """Fail unless every transfer was made once at every place, or nowhere; return how many."""
    moved: defaultdict[str, list[list[int]]] = defaultdict(lambda: [[] for _ in stage.books])
    for number, books in enumerate(stage.books):
        for gid, amount in books.all_effects():
            moved[gid][number].append(amount)
    others = len(stage.books) - 1
    whole = [[-AMOUNT * others], *([AMOUNT] for _ in range(others))]
    torn = {gid: amounts for gid, amounts in moved.items() if amounts != whole}
    assert not torn, f"torn, or not exactly once: {torn}"
    for number, books in enumerate(stage.books):
        account, amount = ("bob", AMOUNT) if number else ("ada", -AMOUNT * others)
        expected = BEFORE | {account: BEFORE[account] + amount * len(moved)}
        assert books.balances() == expected, f"place {number}: {books.balances()}"
    assert stage.in_doubt() == [[] for _ in stage.places]
    return len(moved)
