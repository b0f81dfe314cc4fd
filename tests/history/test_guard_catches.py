"""The guards of the drivers, between careless holders: as they are, and with planted mistakes."""

from __future__ import annotations

import random
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from concordant.drivers.postgres import guard as postgres_guard
from concordant.drivers.redis import guard as redis_guard
from concordant.drivers.sqlite import guard as sqlite_guard
from tests.history.bursts import Changes, Opener, changed, fight, mistaken
from tests.history.checker import Violation, rules
from tests.history.guarded import guarded
from tests.provision import postgres, redis, sqlite
from tests.provision.backend import Backend

BACKENDS = {each.name: each for each in (sqlite.SQLITE, postgres.POSTGRES, redis.REDIS)}
# Where each driver's guard says who passes.
PLACES: dict[str, tuple[ModuleType, str]] = {
    "sqlite": (sqlite_guard, "_PASS"),
    "postgresql": (postgres_guard, "_PASS"),
    "redis": (redis_guard, "_PRELUDE"),
}
# A register took something from a holder that it should have shut out.
HARM = {"stale use", "lost update", "stale read", "not linearizable by fence"}

OLDER = "an older fence passes"
FORGETS = "a newer fence is not stored"
OTHERS = "the same fence of another owner passes"
UNLOCKED = "the fence is checked before the row is locked"

PLANTED: dict[tuple[str, str], Changes] = {
    ("sqlite", OLDER): (("WHERE excluded.fence > fence", "WHERE excluded.fence <> fence"),),
    ("sqlite", FORGETS): (("SET fence = excluded.fence, owner = ", "SET fence = fence, owner = "),),
    ("sqlite", OTHERS): ((" AND excluded.owner = owner", ""),),
    ("postgresql", OLDER): (("excluded.fence > g.fence", "excluded.fence <> g.fence"),),
    ("postgresql", FORGETS): (("SET fence = excluded.fence", "SET fence = g.fence"),),
    ("postgresql", OTHERS): ((" AND excluded.owner = g.owner", ""),),
    ("postgresql", UNLOCKED): (
        (
            "VALUES (%s, %s, %s)",
            "SELECT * FROM (VALUES (%s::text, %s::bigint, %s::text)) AS new (name, fence, owner)"
            " WHERE NOT EXISTS (SELECT FROM concordant_guard AS old WHERE old.name = new.name"
            " AND (old.fence > new.fence OR old.fence = new.fence AND old.owner <> new.owner))",
        ),
        (
            " WHERE excluded.fence > g.fence"
            " OR (excluded.fence = g.fence AND excluded.owner = g.owner)",
            "",
        ),
    ),
    ("redis", OLDER): (("fence < newest or ", ""),),
    ("redis", FORGETS): (
        (
            "string.format('%.0f %s', fence, owner))",
            "string.format('%.0f %s', fence, owner), 'NX')",
        ),
    ),
    ("redis", OTHERS): ((" and owner ~= whose", " and false"),),
}

SAME_FENCE_TWICE = (
    "fence = max(record.fence + 1, moment.fence_floor)",
    "fence = max(record.fence, 1)",
)


def opener(backend: Backend, folder: Path, slow_s: float = 0.02) -> Opener:
    """Return what opens the driver's register; users may be slow between guard and write."""
    assert backend.lock_url is not None
    url = backend.lock_url(folder)

    def opened(dice: random.Random) -> Any:
        def dawdle() -> None:
            if dice.random() < 0.3:
                time.sleep(dice.random() * slow_s)

        register = guarded(url, folder)
        register.meanwhile = dawdle
        return register

    return opened


def params(names: list[tuple[str, ...]]) -> list[Any]:
    """Return pytest parameters whose first part names a backend."""
    return [
        pytest.param(*each, marks=pytest.mark.server if BACKENDS[each[0]].needs_server else ())
        for each in names
    ]


def plant(monkeypatch: pytest.MonkeyPatch, name: str, changes: Changes) -> None:
    """Let the driver's guard be a copy with pieces replaced."""
    module, constant = PLACES[name]
    monkeypatch.setattr(module, constant, changed(getattr(module, constant), changes))


def harmed(found: list[Violation]) -> bool:
    """Tell whether a register took what it should not have."""
    return bool(rules(found) & HARM)


ALL = [(name,) for name in BACKENDS]


@pytest.mark.parametrize("name", params(ALL))
def test_the_guard_as_it_is_stands_the_check(name: str, tmp_path: Path) -> None:
    found, grants = fight(mistaken(), tmp_path, bursts=3, opened=opener(BACKENDS[name], tmp_path))
    assert found == []
    assert grants > 10


@pytest.mark.parametrize("name", params(ALL))
def test_of_two_with_the_same_fence_the_first_to_come_has_it(name: str, tmp_path: Path) -> None:
    """As after a failover that lost the counter: no guard can tell more, and none lets both in."""

    def given_twice(found: list[Violation]) -> bool:
        return "fence given twice" in rules(found)

    store = mistaken(SAME_FENCE_TWICE)
    opened = opener(BACKENDS[name], tmp_path)
    found, _ = fight(store, tmp_path, bursts=8, opened=opened, until=given_twice)
    assert given_twice(found)
    assert not harmed(found), found


@pytest.mark.parametrize(("name", "mistake"), params(list(PLANTED)))
def test_a_mistake_in_a_guard_is_found(
    name: str, mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, name, PLANTED[name, mistake])
    # Only a store that gives a fence twice tells whether its owner is looked at, too.
    store = mistaken(SAME_FENCE_TWICE) if mistake == OTHERS else mistaken()
    # An old holder has to come while a newer one is between its guard and its commit.
    opened = opener(BACKENDS[name], tmp_path, slow_s=0.15 if mistake == UNLOCKED else 0.02)
    found, _ = fight(store, tmp_path, opened=opened, until=harmed)
    assert harmed(found), found
