"""The checker is checked: mistakes are planted in the real model, and each must be found."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from concordant.locking.operations import Hint
from tests.history import events, register
from tests.history.checker import Violation, check, rules
from tests.history.contender import Contender, Habits, Lease
from tests.history.model_store import ModelStore, copy_of_the_model

CONTENDERS = 5
BURST_S = 0.5
# A mistake that shows is found in a burst or two.
BURSTS_MAX = 40
SEED = 20_260_801

# The model's bound of two seconds would need long runs; sixty milliseconds show the same.
QUICK = (("limits.CONFIRM_MS * 1000", "60 * 1000"),)

PLANTED: dict[str, tuple[tuple[tuple[str, str], ...], set[str]]] = {
    "granted past the holder, as by SET without NX": (
        (
            (
                "if place is None and not record.waiters and operation.permits <= _free(record):",
                "if place is None:",
            ),
        ),
        {"granted past a holder"},
    ),
    "released without asking who holds it": (
        (
            (
                "if (holder.owner, holder.fence) != (operation.owner, operation.fence)",
                "if holder.permits == 0",
            ),
        ),
        # Whichever is seen first: another one beside a holder, or a holder that was let go.
        {"granted past a holder", "held after its end"},
    ),
    "a fence that does not rise": (
        (
            (
                "fence = max(record.fence + 1, moment.fence_floor)",
                "fence = max(record.fence, moment.fence_floor)",
            ),
            (
                "fence = max(fence + 1, moment.fence_floor)",
                "fence = max(fence, moment.fence_floor)",
            ),
        ),
        {"fence given twice", "fence fell"},
    ),
    "a fence that is the clock alone": (
        (
            ("fence = max(record.fence + 1, moment.fence_floor)", "fence = moment.fence_floor"),
            ("fence = max(fence + 1, moment.fence_floor)", "fence = moment.fence_floor"),
        ),
        {"fence fell"},
    ),
    "a hint taken for a grant by the store": (
        (
            (
                "        case Confirm() | Renew():\n",
                "        case Confirm():\n            return record, Held()\n"
                "        case Renew():\n",
            ),
        ),
        {"granted past a holder"},
    ),
    "a lease renewed for whoever asks": (
        (
            (
                "            return replace(record, holders=holders), Held()\n"
                "    return record, Lost()\n",
                "            return replace(record, holders=holders), Held()\n"
                "    return record, Held()\n",
            ),
        ),
        {"granted past a holder", "held after its end"},
    ),
}


class Credulous(Contender):
    """Takes a hint for a grant: it does not confirm."""

    def confirm(self, hint: Hint) -> Lease | None:
        return self._granted(hint.owner, hint.fence, events.now_ns())


def burst(
    store: ModelStore, folder: Path, seed: int, kind: type[Contender] = Contender
) -> tuple[list[events.Event], int]:
    """Let several threads contend for a while; return the history and the number of grants."""
    paths = [folder / f"{seed}-{number}.jsonl" for number in range(CONTENDERS)]
    until_ns = events.now_ns() + round(BURST_S * 1e9)
    grants: list[int] = []

    def contend(path: Path, rng: random.Random) -> None:
        recorder, used = events.Recorder(path), register.Register(folder / "register.db")
        contender = kind(store, recorder, used, Habits(), rng)
        contender.run(until_ns)
        grants.append(contender.grants)
        recorder.close()
        used.close()

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


def contend(
    folder: Path,
    changes: Sequence[tuple[str, str]],
    bursts: int,
    kind: type[Contender] = Contender,
) -> tuple[list[Violation], int]:
    """Run bursts on one store until the checker finds something."""
    store = ModelStore(copy_of_the_model((*QUICK, *changes)), SEED)
    history: list[events.Event] = []
    grants = 0
    for number in range(bursts):
        more, granted = burst(store, folder, SEED + number, kind)
        history += more
        grants += granted
        used = register.Register(folder / "register.db")
        found = check([*history, *used.journal()])
        used.close()
        if found:
            return found, grants
    return [], grants


def test_the_model_as_it_is_stands_the_check(tmp_path: Path) -> None:
    found, grants = contend(tmp_path, (), bursts=5)
    assert found == []
    assert grants > 20


@pytest.mark.parametrize("mistake", list(PLANTED))
def test_a_mistake_in_the_model_is_found(tmp_path: Path, mistake: str) -> None:
    changes, expected = PLANTED[mistake]
    found, _ = contend(tmp_path, changes, BURSTS_MAX)
    assert rules(found) & expected, found


def test_a_contender_that_takes_a_hint_for_a_grant_is_found(tmp_path: Path) -> None:
    found, _ = contend(tmp_path, (), BURSTS_MAX, Credulous)
    assert "granted past a holder" in rules(found)


def test_a_register_without_its_guard_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The model is sound here; its holders are as careless as ever, and nobody stops them.
    unguarded = register._GUARD.partition(" AND ")[0]
    assert unguarded != register._GUARD
    monkeypatch.setattr(register, "_GUARD", unguarded)
    found, _ = contend(tmp_path, (), BURSTS_MAX)
    assert rules(found) & {"stale use", "lost update", "not linearizable by fence"}
