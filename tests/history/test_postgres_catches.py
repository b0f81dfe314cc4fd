"""Mistakes planted in copies of the real SQL: the same histories have to find each of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from concordant.drivers import registry
from concordant.drivers.base import LockStore
from concordant.drivers.postgres import schema
from concordant.drivers.postgres.sync import log as log_module
from concordant.transactions.operations import Decide, Decision, Load, OpenOwner, OwnerOpened
from tests.fault.postgres_trouble import Meanwhile
from tests.history.bursts import BURSTS_MAX, SEED, Changes, Credulous, changed, fight
from tests.history.checker import rules
from tests.provision.postgres import server

pytestmark = pytest.mark.server

# The bound of two seconds would need long runs; sixty milliseconds show the same. And a wall
# clock that is set back an hour now and then, as that of a failed-over server may be.
QUICK_SQL = (
    ("(limits->>'confirm_ms')::bigint * 1000", "60 * 1000"),
    (
        "fence_floor := greatest(now_us, coalesce(lowest, 0) + 1);",
        "fence_floor := greatest(now_us - (random() < 0.25)::int * 3600000000, 1);",
    ),
)

PLANTED: dict[str, tuple[Changes, set[str]]] = {
    "granted past the holder, as by SET without NX": (
        (
            (
                "IF place IS NULL AND jsonb_array_length(lock->'w') = 0\n"
                "               AND (op->>'permits')::int <= free THEN",
                "IF place IS NULL THEN",
            ),
        ),
        {"granted past a holder"},
    ),
    "released without asking who holds it": (
        (
            (
                "        IF found IS NOT NULL AND lock->'h'->found->1 = op->'fence' THEN\n"
                "            lock := jsonb_set(lock, '{h}', (lock->'h') - found);",
                "        IF true THEN\n            lock := jsonb_set(lock, '{h}', '[]');",
            ),
        ),
        {"granted past a holder", "held after its end"},
    ),
    "a fence that does not rise": (
        (
            (
                "fence := greatest((lock->>'f')::bigint + 1, fence_floor);",
                "fence := greatest((lock->>'f')::bigint, fence_floor);",
            ),
            (
                "fence := greatest(fence + 1, fence_floor);",
                "fence := greatest(fence, fence_floor);",
            ),
        ),
        {"fence given twice", "fence fell"},
    ),
    "a fence that is the clock alone": (
        (
            (
                "fence := greatest((lock->>'f')::bigint + 1, fence_floor);",
                "fence := fence_floor;",
            ),
            ("fence := greatest(fence + 1, fence_floor);", "fence := fence_floor;"),
        ),
        {"fence fell"},
    ),
    "a hint taken for a grant by the database": (
        (
            (
                "    ELSIF verb IN ('confirm', 'renew') THEN",
                "    ELSIF verb = 'confirm' THEN\n        result := '[\"held\"]';\n"
                "    ELSIF verb = 'renew' THEN",
            ),
        ),
        {"granted past a holder", "held without a grant", "stale use"},
    ),
    "a lease renewed for whoever asks": (
        (
            (
                "            result := '[\"held\"]';\n        ELSE\n"
                "            result := '[\"lost\"]';",
                "            result := '[\"held\"]';\n        ELSE\n"
                "            result := '[\"held\"]';",
            ),
        ),
        {"granted past a holder", "held after its end"},
    ),
    "a lock that is read before it is locked": (
        ((" ORDER BY l.name FOR UPDATE LOOP", " ORDER BY l.name LOOP"),),
        {"granted past a holder", "fence given twice", "fence fell"},
    ),
}


def planted_store(changes: Changes) -> LockStore:
    """Return a store whose database has a copy of the functions, with pieces replaced.

    The table's comment says that they are the client's own, so that it leaves them alone.
    """
    url = server().fresh()
    store = registry.lock_store(url)
    store.apply([])
    with closing(psycopg.connect(url, autocommit=True)) as plain:
        plain.execute(changed(schema.lock_functions()[0], (*QUICK_SQL, *changes)))  # type: ignore[arg-type]
    return store


def test_the_functions_as_they_are_stand_the_check(tmp_path: Path) -> None:
    with closing(planted_store(())) as store:
        found, grants = fight(store, tmp_path, bursts=5)
    assert found == []
    assert grants > 10


@pytest.mark.parametrize("mistake", list(PLANTED))
def test_a_mistake_in_the_functions_is_found(tmp_path: Path, mistake: str) -> None:
    changes, expected = PLANTED[mistake]
    with closing(planted_store(changes)) as store:
        found, _ = fight(store, tmp_path)
    assert rules(found) & expected, found


def test_a_client_that_takes_a_hint_for_a_grant_is_found(tmp_path: Path) -> None:
    with closing(planted_store(())) as store:
        found, _ = fight(store, tmp_path, kind=Credulous)
    assert "granted past a holder" in rules(found)


# --- the log ------------------------------------------------------------------------------


def disagreements(url: str, gids: Sequence[str], seed: int) -> list[str]:
    """Let coordinators and recoverers decide the same gids; return where answers differ."""

    def decide(owner: str, outcome: Any) -> list[Decision]:
        order = random.Random(f"{seed} {owner}").sample(gids, len(gids))
        told: list[Decision] = []
        with closing(registry.transaction_log(url)) as log:
            for gid in order:
                [answer] = log.apply([Decide(gid, outcome, owner, opened.epoch)])
                assert isinstance(answer, Decision)
                told.append(answer)
        return told

    sides = [("coord001", "commit"), ("recov001", "abort"), ("recov002", "abort")]
    with closing(registry.transaction_log(url)) as log:
        [opened] = log.apply([OpenOwner("coord001", 60_000)])
    assert isinstance(opened, OwnerOpened)
    deciding = [Meanwhile(lambda side=side: decide(*side)) for side in sides]
    told = [answer for each in deciding for answer in each.result()]
    with closing(registry.transaction_log(url)) as log:
        listings: list[Any] = [log.apply([Load(gid)])[0] for gid in gids]
    stands = {each.gid: each for listing in listings for each in listing.decisions}
    wrong = [
        f"{answer.gid}: {answer.owner} was told {answer.outcome}"
        for answer in told
        if (answer.outcome, answer.owner) != (stands[answer.gid].outcome, stands[answer.gid].owner)
    ]
    fresh = [answer.gid for answer in told if answer.fresh]
    return wrong + [
        f"{gid}: inserted {fresh.count(gid)} times" for gid in gids if fresh.count(gid) != 1
    ]


MISTAKES_IN_THE_LOG: dict[str, Changes] = {
    "the last decision stands": (
        (
            "ON CONFLICT (gid) DO NOTHING RETURNING gid",
            "ON CONFLICT (gid) DO UPDATE SET outcome = excluded.outcome, owner = excluded.owner"
            " RETURNING gid",
        ),
    ),
    "an abort goes before a commit": (
        (
            "ON CONFLICT (gid) DO NOTHING RETURNING gid",
            "ON CONFLICT (gid) DO UPDATE SET outcome = excluded.outcome"
            " WHERE excluded.outcome = 'abort' RETURNING gid",
        ),
    ),
}


def decided(seeds: Sequence[int]) -> list[str]:
    """Let them decide on a log of their own until there is a contradiction."""
    url = server().fresh()
    for seed in seeds:
        if found := disagreements(url, [f"{seed}-{number}" for number in range(30)], seed):
            return found
    return []


def test_the_log_as_it_is_keeps_every_decision() -> None:
    assert decided(range(SEED, SEED + 3)) == []


@pytest.mark.parametrize("mistake", list(MISTAKES_IN_THE_LOG))
def test_a_mistake_in_the_log_is_found(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    hot = changed(log_module._HOT, MISTAKES_IN_THE_LOG[mistake])
    monkeypatch.setattr(log_module, "_HOT", hot)
    assert decided(range(SEED, SEED + BURSTS_MAX))
