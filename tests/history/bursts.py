"""Short fights of threads over one store, again and again until the checker finds something."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from concordant.locking.operations import Hint
from tests.history import events, register
from tests.history.checker import Violation, check
from tests.history.contender import Contender, Lease, Store
from tests.history.holder import Habits, Used
from tests.history.model_store import ModelStore, copy_of_the_model

CONTENDERS = 5
BURST_S = 0.5
# A mistake that shows is found in a burst or two.
BURSTS_MAX = 40
SEED = 20_260_801
# The model's bound of two seconds would need long runs; sixty milliseconds show the same.
QUICK = (("limits.CONFIRM_MS * 1000", "60 * 1000"),)

Changes = Sequence[tuple[str, str]]


class Opened(Used, Protocol):
    """A register that a thread has opened."""

    def journal(self) -> list[events.Event]:
        """Return all that was accepted, in order."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


# Opens a register for a thread that plays with these dice.
Opener = Callable[[random.Random], Opened]


class Credulous(Contender):
    """Takes a hint for a grant: it does not confirm."""

    def confirm(self, hint: Hint) -> Lease | None:
        return self._leased(hint.owner, hint.fence, events.now_ns())


def changed(text: str, changes: Changes) -> str:
    """Return the text with pieces replaced; fails if a piece is not there exactly once."""
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times: plant it anew"
        text = text.replace(old, new)
    return text


def mistaken(*changes: tuple[str, str]) -> ModelStore:
    """Return a store around a copy of the model with pieces replaced."""
    return ModelStore(copy_of_the_model((*QUICK, *changes)), SEED)


def own_register(folder: Path) -> Opener:
    """Return what opens the register of the tests, which has a guard of its own."""
    return lambda _: register.Register(folder / "register.db")


def burst(
    store: Store, folder: Path, seed: int, kind: type[Contender], opened: Opener
) -> tuple[list[events.Event], int]:
    """Let several threads contend for a while; return the history and the number of grants."""
    paths = [folder / f"{seed}-{number}.jsonl" for number in range(CONTENDERS)]
    until_ns = events.now_ns() + round(BURST_S * 1e9)
    grants: list[int] = []

    def contend(path: Path, rng: random.Random) -> None:
        recorder = events.Recorder(path)
        with closing(opened(rng)) as used:
            contender = kind(store, recorder, used, Habits(), rng)
            contender.run(until_ns)
        grants.append(contender.grants)
        recorder.close()

    threads = [
        threading.Thread(target=contend, args=(path, random.Random(f"{seed} {path.name}")))
        for path in paths
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(grants) == CONTENDERS
    return events.read(paths), sum(grants)


def fight(
    store: Any,
    folder: Path,
    bursts: int = BURSTS_MAX,
    kind: type[Contender] = Contender,
    opened: Opener | None = None,
    until: Callable[[list[Violation]], Any] = bool,
) -> tuple[list[Violation], int]:
    """Run bursts on one store until the checker has found enough: all, and how many grants."""
    opened = opened or own_register(folder)
    history: list[events.Event] = []
    found: list[Violation] = []
    grants = 0
    for number in range(bursts):
        more, granted = burst(store, folder, SEED + number, kind, opened)
        history += more
        grants += granted
        with closing(opened(random.Random(0))) as used:
            found = check([*history, *used.journal()])
        if until(found):
            break
    return found, grants
