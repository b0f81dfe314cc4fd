"""Mistakes planted in copies of the real script, on a real server: each must be found."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from concordant.drivers.redis.locks import RedisLockStore
from concordant.drivers.redis.options import RedisOptions
from concordant.drivers.redis.script import applying, lua
from tests.history import events, register
from tests.history.checker import Violation, check, rules
from tests.history.contender import Contender
from tests.history.test_checker_catches import BURSTS_MAX, SEED, Credulous, burst
from tests.provision.redis import server

pytestmark = pytest.mark.server

# The bound of two seconds would need long runs; sixty milliseconds show the same.
QUICK = "CONFIRM_US = 60 * 1000\n"

PLANTED: dict[str, tuple[tuple[tuple[str, str], ...], set[str]]] = {
    "granted past the holder, as by SET without NX": (
        (("if not waiters[1] and permits <= free(record) then", "if true then"),),
        {"granted past a holder"},
    ),
    "released without asking who holds it": (
        (
            (
                "local holder, place = holder_of(record, op[WHO], op[4])",
                "local holder, place = record[HOLDERS][1], 1",
            ),
        ),
        {"granted past a holder", "held after its end"},
    ),
    "a fence that does not rise": (
        (("max(record[FENCE] + 1, now)", "max(record[FENCE], 1)"),),
        {"fence given twice", "fence fell"},
    ),
    "a fence that is a clock which is set back at times": (
        (("max(record[FENCE] + 1, now)", "now - (now % 4 == 0 and 3600000000 or 0)"),),
        {"fence fell"},
    ),
    "a hint taken for a grant by the script, a lease renewed for whoever asks": (
        (
            (
                "if not holder then return 'L' end\n  extend",
                "if not holder then return 'H' end\n  extend",
            ),
        ),
        {"granted past a holder", "held after its end"},
    ),
    "a lease that ends before its time": (
        (
            ("if list[i][EXPIRES] <= now then", "if list[i][EXPIRES] <= now + 60000 then"),
            ("if list[j][EXPIRES] > now then", "if list[j][EXPIRES] > now + 60000 then"),
        ),
        {"granted past a holder"},
    ),
    "a hand-over that leaves the predecessor in": (
        (
            ("  table.remove(record[HOLDERS], place)\n  return 'D'", "  return 'D'"),
            ("local permits = record[CAPACITY]", "local permits = record[CAPACITY] + 1"),
        ),
        {"granted past a holder"},
    ),
}


def contend(
    folder: Path,
    changes: Sequence[tuple[str, str]],
    bursts: int,
    kind: type[Contender] = Contender,
) -> tuple[list[Violation], int]:
    """Run bursts on one store until the checker finds something."""
    text = QUICK + lua("apply.lua")
    for old, new in changes:
        assert old in text, f"apply.lua has no {old!r} any more: plant the mistake anew"
        text = text.replace(old, new)
    history: list[events.Event] = []
    grants = 0
    options = RedisOptions.parse(server().url())
    with closing(RedisLockStore(options, applying(text))) as store:
        for number in range(bursts):
            more, granted = burst(store, folder, SEED + number, kind)
            history += more
            grants += granted
            with closing(register.Register(folder / "register.db")) as used:
                found = check([*history, *used.journal()])
            if found:
                return found, grants
    return [], grants


def test_the_script_as_it_is_stands_the_check(tmp_path: Path) -> None:
    found, grants = contend(tmp_path, (), bursts=5)
    assert found == []
    assert grants > 20


@pytest.mark.parametrize("mistake", list(PLANTED))
def test_a_mistake_in_the_script_is_found(tmp_path: Path, mistake: str) -> None:
    changes, expected = PLANTED[mistake]
    found, grants = contend(tmp_path, changes, BURSTS_MAX)
    assert grants, "the script with the mistake does not even run"
    assert rules(found) & expected, found


def test_a_contender_that_takes_a_hint_for_a_grant_is_found(tmp_path: Path) -> None:
    found, _ = contend(tmp_path, (), BURSTS_MAX, Credulous)
    assert "granted past a holder" in rules(found)
