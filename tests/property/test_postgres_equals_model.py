"""The lock functions of the database against the pure model: the same steps, to the microsecond.

`concordant_lock_step` is pure, and takes its time as an argument, so that a whole history is one
statement. The model goes ahead, and each of its records, answers and hints has to be the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from concordant.drivers.postgres.lockwire import LIMITS, decode, encode
from concordant.drivers.postgres.schema import lock_functions
from concordant.locking import limits
from concordant.locking.model import LockRecord, Moment, decide
from concordant.locking.operations import (
    Acquire,
    Break,
    Cancel,
    Confirm,
    Hint,
    Inspect,
    Operation,
    Release,
    Renew,
)
from tests.provision.postgres import server

pytestmark = pytest.mark.server

NAME = "a"
CLIENTS = ("aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc")
OWNERS = [f"{client}.{number}" for client in CLIENTS for number in range(2)]
NOTES = ("", "pid 7 on host", 'n\xf6te "\\\n\x00\ud800')
TTLS_MS = (limits.TTL_MIN_MS, 1000, 1001, 60_000, limits.TTL_MAX_MS)
# Steps of time that land before, on and after every bound of the model; mostly none, so that
# there is a queue, and some backwards.
STEPS_US = (0,) * 9 + (1, 999, 1000, 50_000, 999_999, 1_000_000, 1_000_001, 1_999_999, 2_000_000)
STEPS_US += (10_000_000, 30_000_000, 60_000_000, -1, -1500, -3_600_000_000)
WALL_US = 1_700_000_000_000_000

_STEPS = """
CREATE FUNCTION steps(asked jsonb, limits jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    lock jsonb := '{"f": 0, "c": 1, "h": [], "w": [], "t": []}';
    step jsonb;
    each jsonb;
    seen jsonb := '[]';
BEGIN
    FOR each IN SELECT * FROM jsonb_array_elements(asked) LOOP
        step := concordant_lock_step(
            lock, each->0, (each->>1)::bigint, (each->>2)::bigint, limits);
        IF each->0->>'op' <> 'inspect' THEN
            lock := step->0;
        END IF;
        seen := seen || jsonb_build_array(step);
    END LOOP;
    RETURN seen;
END $$"""

# Who asks: a number chooses among those that hold and wait, and some that do neither.
who = st.integers(0, 11)
ttls = st.sampled_from(TTLS_MS)
# Which of the fences that are held, counted from the last one; -1 is one never given.
which = st.integers(-1, 2)
sizes = st.sampled_from([(1, 1), (1, 1), (1, 1), (1, 2), (2, 2), (1, 3), (3, 3)])
asked = st.one_of(
    st.tuples(st.just(Acquire), who, ttls, st.just(True), st.just((1, 1)), st.just("")),
    st.tuples(st.just(Acquire), who, ttls, st.booleans(), sizes, st.sampled_from(NOTES)),
    st.tuples(st.sampled_from([Confirm, Renew]), who, which, ttls),
    st.tuples(st.just(Release), who, which),
    # By whoever has it, or most releases would be refused.
    st.tuples(st.just(Release), st.none(), which),
    st.tuples(st.just(Cancel), who, st.booleans()),
    st.tuples(st.just(Inspect)),
    st.tuples(st.just(Break), st.integers(-2, 2)),
)
# How much later, how far the wall clock is ahead of it, and what is asked.
histories = st.lists(
    st.tuples(st.sampled_from(STEPS_US), st.sampled_from((0, 0, -5, 9)), asked),
    min_size=30,
    max_size=60,
)


@pytest.fixture(scope="module")
def database() -> Iterator[psycopg.Connection[Any]]:
    with closing(psycopg.connect(server().fresh(), autocommit=True)) as plain:
        plain.execute(lock_functions()[0])  # type: ignore[arg-type]
        plain.execute(_STEPS)
        yield plain


class History:
    """What was asked of the model, when, and what it did."""

    def __init__(self) -> None:
        self.record = LockRecord()
        self.operations: list[Operation] = []
        self.moments: list[Moment] = []
        self.expected: list[tuple[LockRecord, object, tuple[Hint, ...]]] = []

    def ask(self, operation: Operation, moment: Moment) -> None:
        """Ask the model."""
        decision = decide(self.record, operation, moment)
        self.operations.append(operation)
        self.moments.append(moment)
        if not isinstance(operation, Inspect):
            self.record = decision.record
        self.expected.append((self.record, decision.result, decision.hints))

    def operation(self, kind: type, *fields: Any) -> Operation:
        """Return the operation, with real owners and fences in the place of numbers."""
        holders = sorted(self.record.holders, key=lambda holder: -holder.fence)
        if kind is Acquire:
            number, ttl_ms, wait, (permits, capacity), note = fields
            if number % 4 and self.record.holders:
                # Whoever does not know the capacity is refused, which soon is nothing new.
                capacity = self.record.capacity
                permits = min(permits, capacity)
            return Acquire(NAME, self._owner(number), ttl_ms, wait, permits, capacity, note)
        if kind in (Confirm, Renew, Release):
            number, back, *rest = fields
            held = holders[back] if 0 <= back < len(holders) else None
            fence = held.fence if held else self.record.fence + 1
            owner = held.owner if held and number is None else self._owner(number or 0)
            return kind(NAME, owner, fence, *rest)
        if kind is Cancel:
            number, late = fields
            return Cancel(NAME, self._owner(number), late)
        if kind is Break:
            (back,) = fields
            if back == -2:
                return Break(NAME)
            return Break(NAME, holders[back].fence if 0 <= back < len(holders) else 2**70)
        return kind(NAME)

    def _owner(self, number: int) -> str:
        known = [each.owner for each in (*self.record.holders, *self.record.waiters)]
        return [*known[:6], *OWNERS][number % (min(len(known), 6) + len(OWNERS))]


def record(lock: dict[str, Any]) -> list[Any]:
    """Return the database's record in the order of the model's fields."""
    return [lock["f"], lock["c"], lock["h"], lock["w"], lock["t"]]


def as_stored(given: LockRecord) -> list[Any]:
    """Return the model's record as the database keeps one."""

    def note(text: str) -> str:
        return json.dumps(text)[1:-1]

    return [
        given.fence,
        given.capacity,
        [
            [h.owner, h.fence, h.permits, h.ttl_ms, h.expires_us, h.confirmed, note(h.note)]
            for h in given.holders
        ],
        [[w.owner, w.permits, w.ttl_ms, w.expires_us, note(w.note)] for w in given.waiters],
        [[t.owner, t.expires_us] for t in given.tombstones],
    ]


def compare(database: psycopg.Connection[Any], history: History) -> None:
    """Run the history in the database and compare every step."""
    asked: Sequence[Any] = [
        [row, moment.now_us, moment.fence_floor]
        for row, moment in zip(json.loads(encode(history.operations)), history.moments, strict=True)
    ]
    query = "SELECT steps(%s::jsonb, %s::jsonb)"
    ((steps,),) = database.execute(query, (json.dumps(asked), LIMITS)).fetchall()
    assert len(steps) == len(history.expected)
    for operation, moment, step, expected in zip(
        history.operations, history.moments, steps, history.expected, strict=True
    ):
        lock, row, hints = step
        after, result, told = expected
        if not isinstance(operation, Inspect):
            assert record(lock) == as_stored(after), operation
        assert decode([operation], (moment.now_us, [row])) == [result], operation
        assert [Hint(NAME, *each) for each in hints] == list(told), operation


@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(wishes=histories)
def test_the_functions_do_what_the_model_does(
    database: psycopg.Connection[Any], wishes: list[Any]
) -> None:
    history, now_us = History(), WALL_US
    for step_us, ahead_us, wish in wishes:
        now_us += step_us
        history.ask(history.operation(*wish), Moment(now_us, now_us + ahead_us))
    compare(database, history)


def test_a_fence_rises_although_the_clock_is_far_behind(database: psycopg.Connection[Any]) -> None:
    history = History()
    for number, floor in enumerate((WALL_US, 0, 17, WALL_US - 1)):
        owner = f"{CLIENTS[0]}.{number}"
        history.ask(Acquire(NAME, owner, 1000), Moment(number, floor))
        history.ask(Acquire(NAME, f"{CLIENTS[1]}.{number}", 1000, True), Moment(number, floor))
        for _ in range(2):
            (holder,) = history.record.holders
            history.ask(Release(NAME, holder.owner, holder.fence), Moment(number, floor))
    assert history.record.fence == WALL_US + 7
    compare(database, history)


def test_the_oldest_tombstones_give_way(database: psycopg.Connection[Any]) -> None:
    history, number = History(), limits.TOMBSTONES_MAX + 3
    for i in range(number):
        history.ask(Cancel(NAME, f"{CLIENTS[0]}.{i}", late=True), Moment(i, i))
    for i in range(5):
        history.ask(Acquire(NAME, f"{CLIENTS[0]}.{i}", 1000), Moment(number, number))
    compare(database, history)
    assert len(history.record.tombstones) == limits.TOMBSTONES_MAX


def test_a_long_queue_drains_in_order(database: psycopg.Connection[Any]) -> None:
    history = History()
    for i in range(100):
        wish = Acquire(NAME, f"{CLIENTS[i % 3]}.{i}", 60_000, wait=True)
        history.ask(wish, Moment(WALL_US, WALL_US))
    for i in range(100):
        (holder,) = history.record.holders
        now_us = WALL_US + i * 1000
        history.ask(Release(NAME, holder.owner, holder.fence), Moment(now_us, now_us))
    compare(database, history)
    assert not history.record.holders
