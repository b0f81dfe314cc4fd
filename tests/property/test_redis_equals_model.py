"""The script on a real server against the pure model: the same steps, to the microsecond.

Only its clock is replaced: a copy of the script reads the time from a key that the test sets.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from concordant.locking import limits
from concordant.locking.operations import (
    Acquire,
    Break,
    Cancel,
    Confirm,
    Inspect,
    Operation,
    Release,
    Renew,
)
from tests.property.redis_twins import CLIENTS, NAMES, OWNERS, Twins, twins
from tests.provision.redis import server

pytestmark = pytest.mark.server

# Most of those who ask agree about it.
CAPACITY = {"a": 1, "b {x} %": 2}
NOTES = ("", 'n\xf6te "\\\n\x00\ud800')
TTLS_MS = (limits.TTL_MIN_MS - 1, limits.TTL_MIN_MS, 1000, 60_000)
# Steps of time that land before, on and after every bound of the model, and one backwards.
STEPS_US = (0, 1, 999, 1000, 50_000, 1_000_000, 1_999_999, 2_000_000, 30_000_000, 60_000_000, -7)
names = st.sampled_from(NAMES)
owners = st.sampled_from(OWNERS)
ttls = st.sampled_from(TTLS_MS)
# Which of the present fences, from the last one on; -1 is one that was never given.
which = st.integers(-1, 2)


@st.composite
def acquires(draw: st.DrawFn) -> tuple[object, ...]:
    name = draw(names)
    capacity = draw(st.sampled_from([CAPACITY[name]] * 5 + [3]))
    permits = draw(st.integers(1, capacity))
    wait = draw(st.sampled_from([True, True, False]))
    note = draw(st.sampled_from(NOTES))
    return (Acquire, name, draw(owners), draw(ttls), wait, permits, capacity, note)


asked = st.one_of(
    acquires(),
    acquires(),
    st.tuples(st.sampled_from([Confirm, Renew]), names, owners, which, ttls),
    st.tuples(st.just(Release), names, owners, which),
    # What the holder itself does, whoever that is.
    st.tuples(st.sampled_from([Confirm, Release]), names, st.none(), which, st.just(60_000)),
    st.tuples(st.just(Cancel), names, owners, st.booleans()),
    st.tuples(st.just(Inspect), names),
    st.tuples(st.just(Break), names, st.integers(-2, 2)),
)
steps = st.one_of(st.just(1), st.sampled_from(STEPS_US))
histories = st.lists(
    st.tuples(steps, st.lists(asked, min_size=1, max_size=5)), min_size=1, max_size=20
)


@pytest.fixture(scope="module")
def plain() -> Iterator[Redis]:
    with closing(server().plain()) as client:
        yield client


def operation(pair: Twins, kind: type, name: str, *fields: object) -> Operation:
    """Return the operation, with a real fence in the place of a number that chooses one."""
    values = list(fields)
    if kind in (Confirm, Renew, Release):
        owner, values[1] = pair.chosen(name, values[1])
        values[0] = values[0] or owner
    elif kind is Break:
        values[0] = 0 if values[0] == -2 else pair.chosen(name, values[0])[1]
    return kind(name, *(values[:2] if kind is Release else values))


@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(history=histories)
def test_the_script_does_what_the_model_does(plain: Redis, history: list) -> None:
    with closing(twins(plain)) as pair:
        for step_us, wishes in history:
            pair.ask(step_us, [operation(pair, *wish) for wish in wishes])


def stride(rng: random.Random) -> tuple[object, ...]:
    """Return one wish on one crowded lock."""
    owner, ttl_ms = rng.choice(OWNERS), rng.choice(TTLS_MS[1:])
    kind = rng.choice([Acquire] * 5 + [Release, Release, Confirm, Renew, Cancel, Cancel, Break])
    if kind is Acquire:
        capacity = rng.choice([2] * 12 + [3])
        permits = rng.randint(1, 2)
        return (kind, "a", owner, ttl_ms, rng.random() < 0.8, permits, capacity, "")
    if kind is Cancel:
        return (kind, "a", owner, rng.random() < 0.3)
    if kind is Break:
        return (kind, "a", rng.randint(-2, 1))
    return (kind, "a", rng.choice([owner, None]), rng.randint(-1, 1), ttl_ms)


@pytest.mark.parametrize("seed", range(4))
def test_long_walks_over_a_crowded_lock_are_the_same(plain: Redis, seed: int) -> None:
    rng = random.Random(seed)
    with closing(twins(plain)) as pair:
        for _ in range(400):
            wishes = [stride(rng) for _ in range(rng.choice([1, 1, 2, 3]))]
            step_us = rng.choice([1, 1, 1, 50_000, 500_000, 2_000_000])
            pair.ask(step_us, [operation(pair, *wish) for wish in wishes])


def test_a_release_that_finds_another_lease_expired(plain: Redis) -> None:
    # What the expiry frees is granted before the release, and told by a hint like any other.
    short, lasting, first, second = (f"{CLIENTS[0]}.{number}" for number in range(4))
    with closing(twins(plain)) as pair:
        pair.ask(
            1, [Acquire("a", short, 1000, capacity=2), Acquire("a", lasting, 60_000, True, 1, 2)]
        )
        for owner in (first, second):
            pair.ask(1, [Acquire("a", owner, 60_000, True, 1, 2, note=f"note of {owner}")])
        fence = pair.chosen("a", 0)[1]
        pair.ask(2_000_000, [Release("a", lasting, fence)])
        assert [holder.note for holder in pair.records["a"].holders] == [
            f"note of {first}",
            f"note of {second}",
        ]


def test_the_oldest_tombstones_give_way_as_in_the_model(plain: Redis) -> None:
    number = limits.TOMBSTONES_MAX + 3
    late: list[Operation] = [Cancel("a", f"{CLIENTS[0]}.{i}", late=True) for i in range(number)]
    with closing(twins(plain)) as pair:
        pair.ask(1, late[: limits.BATCH_MAX])
        pair.ask(1, late[limits.BATCH_MAX :])
        for back in range(5):
            pair.ask(1, [Acquire("a", f"{CLIENTS[0]}.{back}", 1000)])


def test_long_queues_drain_as_in_the_model(plain: Redis) -> None:
    waiting = [Acquire("a", f"{CLIENTS[i % 2]}.{i}", 60_000, wait=True) for i in range(100)]
    with closing(twins(plain)) as pair:
        pair.ask(1, list(waiting))
        for _ in waiting:
            (holder,) = pair.records["a"].holders
            pair.ask(1000, [Release("a", holder.owner, holder.fence)])
        assert pair.records["a"].idle
