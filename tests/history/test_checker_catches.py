"""The checker is checked: mistakes are planted in the real model, and each must be found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.history import register
from tests.history.bursts import Credulous, fight, mistaken
from tests.history.checker import rules

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


def test_the_model_as_it_is_stands_the_check(tmp_path: Path) -> None:
    found, grants = fight(mistaken(), tmp_path, bursts=5)
    assert found == []
    assert grants > 20


@pytest.mark.parametrize("mistake", list(PLANTED))
def test_a_mistake_in_the_model_is_found(tmp_path: Path, mistake: str) -> None:
    changes, expected = PLANTED[mistake]
    found, _ = fight(mistaken(*changes), tmp_path)
    assert rules(found) & expected, found


def test_a_contender_that_takes_a_hint_for_a_grant_is_found(tmp_path: Path) -> None:
    found, _ = fight(mistaken(), tmp_path, kind=Credulous)
    assert "granted past a holder" in rules(found)


def test_a_register_without_its_guard_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The model is sound here; its holders are as careless as ever, and nobody stops them.
    unguarded = register._GUARD.partition(" AND ")[0]
    assert unguarded != register._GUARD
    monkeypatch.setattr(register, "_GUARD", unguarded)
    found, _ = fight(mistaken(), tmp_path)
    assert rules(found) & {"stale use", "lost update", "not linearizable by fence"}
