"""Mistakes planted in copies of the real script, on a real server: each must be found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from concordant.drivers.redis.locks import RedisLockStore
from concordant.drivers.redis.options import RedisOptions
from concordant.drivers.redis.script import applying, lua
from tests.history.bursts import Changes, Credulous, changed, fight
from tests.history.checker import rules
from tests.provision.redis import server

pytestmark = pytest.mark.server

# The bound of two seconds would need long runs; sixty milliseconds show the same.
QUICK = "CONFIRM_US = 60 * 1000\n"

PLANTED: dict[str, tuple[Changes, set[str]]] = {
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
    "granted past the holder on the short way": (
        (("if #record == 15 then", "if #record == 15 or code == ACQUIRE then"),),
        {"granted past a holder"},
    ),
    "a fence that does not rise": (
        (("max(fence + 1, now)", "max(fence, 1)"),),
        {"fence given twice", "fence fell"},
    ),
    "a fence that is a clock which is set back at times": (
        (("max(fence + 1, now)", "now - (now % 4 == 0 and 3600000000 or 0)"),),
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


@contextmanager
def planted_store(changes: Changes) -> Iterator[RedisLockStore]:
    """Give a store whose script is a copy with pieces replaced."""
    text = QUICK + changed(lua("apply.lua"), changes)
    options = RedisOptions.parse(server().url())
    with closing(RedisLockStore(options, applying(text))) as store:
        yield store


def test_the_script_as_it_is_stands_the_check(tmp_path: Path) -> None:
    with planted_store(()) as store:
        found, grants = fight(store, tmp_path, bursts=5)
    assert found == []
    assert grants > 20


@pytest.mark.parametrize("mistake", list(PLANTED))
def test_a_mistake_in_the_script_is_found(tmp_path: Path, mistake: str) -> None:
    changes, expected = PLANTED[mistake]
    with planted_store(changes) as store:
        found, grants = fight(store, tmp_path)
    assert grants, "the script with the mistake does not even run"
    assert rules(found) & expected, found


def test_a_contender_that_takes_a_hint_for_a_grant_is_found(tmp_path: Path) -> None:
    with planted_store(()) as store:
        found, _ = fight(store, tmp_path, kind=Credulous)
    assert "granted past a holder" in rules(found)
