"""The script's short way for mutexes against the pure model, where the two could come apart."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing

import pytest
from redis import Redis

from concordant.drivers.redis.locks import RedisLockStore
from concordant.drivers.redis.options import RedisOptions
from concordant.drivers.redis.script import applying, lua
from concordant.locking import limits
from concordant.locking.model import LockRecord
from concordant.locking.operations import (
    Acquire,
    Break,
    Cancel,
    Confirm,
    Granted,
    Held,
    Inspect,
    Operation,
    Release,
    Released,
    Renew,
    View,
)
from tests.property.redis_twins import CLIENTS, Twins, twins
from tests.provision.redis import server

pytestmark = pytest.mark.server

OWNERS = [f"{client}.{number}" for client in CLIENTS for number in range(6)]
TTLS_MS = (limits.TTL_MIN_MS, 127, 128, 255, 256, 65_535, 65_536, 60_000, limits.TTL_MAX_MS)
NOTES = ("", "", "", "note", "n\xf6te \x90\x90", OWNERS[0], "x" * 31, "x" * 32, "x" * 300)
WALKS = 12
STEPS = 150


@pytest.fixture(scope="module")
def plain() -> Iterator[Redis]:
    with closing(server().plain()) as client:
        yield client


class Walker:
    """Does to one mutex what its users do, and now and then what they should not."""

    def __init__(self, pair: Twins, rng: random.Random) -> None:
        self._pair = pair
        self._rng = rng
        # With tombstones and other capacities, everything goes the long way.
        self._odd = rng.random() < 0.3

    def step_us(self) -> int:
        """Return how far to go, at times to where something expires, to the microsecond."""
        record = self._record
        ends = [each.expires_us for each in (*record.holders, *record.waiters, *record.tombstones)]
        if ends and self._rng.random() < 0.12:
            return self._rng.choice(ends) - self._pair.now_us + self._rng.choice((-1, 0, 1))
        return self._rng.choice((1, 1, 1, 1, 1000, 50_000, 500_000, -7))

    def wish(self) -> Operation:
        """Return what somebody asks next."""
        rng = self._rng
        draw = rng.random()
        if draw < 0.45:
            return self._acquire()
        if draw < 0.9 and self._record.holders:
            return self._of_holder()
        if draw < 0.94:
            return Cancel("a", rng.choice(OWNERS), late=self._odd and rng.random() < 0.1)
        if draw < 0.96:
            return Break("a", 0)
        return Inspect("a")

    @property
    def _record(self) -> LockRecord:
        return self._pair.records.get("a", LockRecord())

    def _acquire(self) -> Operation:
        rng = self._rng
        capacity = 2 if self._odd and rng.random() < 0.05 else 1
        owner, ttl_ms = rng.choice(OWNERS), rng.choice(TTLS_MS[5:] if draws(rng) else TTLS_MS)
        return Acquire("a", owner, ttl_ms, draws(rng), 1, capacity, rng.choice(NOTES))

    def _of_holder(self) -> Operation:
        """Return what the holder asks, or one that has its fence or its name alone."""
        rng, holder = self._rng, self._record.holders[0]
        owner = holder.owner if draws(rng) else rng.choice(OWNERS)
        fence = holder.fence if draws(rng) else holder.fence + rng.choice((-1, 1))
        kind = rng.choice((Release, Release, Confirm, Renew))
        if kind is Release:
            return Release("a", owner, fence)
        return kind("a", owner, fence, rng.choice(TTLS_MS))


def draws(rng: random.Random) -> bool:
    return rng.random() < 0.85


@pytest.mark.parametrize("seed", range(WALKS))
def test_long_walks_over_a_mutex_are_the_same(plain: Redis, seed: int) -> None:
    rng = random.Random(seed)
    with closing(twins(plain)) as pair:
        walker = Walker(pair, rng)
        for _ in range(STEPS):
            step_us = walker.step_us()
            # All drawn from the record before the batch, so that some come late.
            pair.ask(step_us, [walker.wish() for _ in range(rng.choice((1, 1, 1, 2, 4)))])


def test_a_waiter_that_asks_of_many_is_told_the_longest_wait(plain: Redis) -> None:
    with closing(twins(plain)) as pair:
        for owner in OWNERS:
            pair.ask(1, [Acquire("a", owner, limits.TTL_MAX_MS, wait=True)])


def test_what_is_asked_most_goes_the_short_way(plain: Redis) -> None:
    # The rest of the script is cut off, or the other tests might go the long way all the time.
    text = lua("apply.lua")
    end = "-- From the first that is another case on, the whole model."
    assert text.count(end) == 1
    options = RedisOptions.parse(server().url())
    with (
        closing(RedisLockStore(options)) as whole,
        closing(RedisLockStore(options, applying(text[: text.index(end)]))) as short,
    ):
        [granted] = whole.apply([Acquire("a", OWNERS[0], 60_000)])
        assert isinstance(granted, Granted)
        assert short.apply([Release("a", OWNERS[0], granted.fence)]) == [Released()]
        [again] = short.apply([Acquire("a", OWNERS[0], 60_000, note="n")])
        assert isinstance(again, Granted)
        short.apply([Acquire("a", owner, 60_000, wait=True) for owner in OWNERS[1:]])
        # First to five of the same client, and then to those of another.
        for number, owner in enumerate(OWNERS):
            [view] = whole.apply([Inspect("a")])
            assert isinstance(view, View)
            [holder] = view.holders
            assert (holder.owner, len(view.waiters)) == (owner, len(OWNERS) - 1 - number)
            assert short.apply([Confirm("a", owner, holder.fence, 60_000)]) == [Held()]
            [released] = short.apply([Release("a", owner, holder.fence)])
            assert isinstance(released, Released)
            assert len(released.handed) == (number not in (5, 11))
