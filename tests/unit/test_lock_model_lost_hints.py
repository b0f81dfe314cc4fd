"""A hint that was lost costs a waiter at the head of the queue time, and not its turn."""

from __future__ import annotations

from concordant.locking import limits
from concordant.locking.model import LockRecord, Moment, decide
from concordant.locking.operations import Acquire, Granted, Queued, Release

# What a question may take to arrive that was sent in time.
SLOW_US = 400_000


def test_the_head_that_asks_when_it_was_told_to_finds_the_grant_that_it_was_not_told_of() -> None:
    now_us = 1_000_000
    held = decide(LockRecord(), Acquire("a", "holder.1", 30_000), Moment(now_us, now_us))
    assert isinstance(held.result, Granted)
    waits = Acquire("a", "waiter.1", 30_000, wait=True)
    queued = decide(held.record, waits, Moment(now_us, now_us))
    assert isinstance(queued.result, Queued)
    # Right behind its question: the worst moment, since now it is silent for the whole step.
    release = Release("a", "holder.1", held.result.fence)
    released = decide(queued.record, release, Moment(now_us + 1, now_us))
    [lost] = released.hints
    again_us = now_us + queued.result.retry_ms * 1000 + SLOW_US
    # Another one is waiting by now, which gets what the first leaves.
    behind = decide(
        released.record,
        Acquire("a", "behind.1", 30_000, wait=True),
        Moment(now_us + 2, now_us),
    )
    found = decide(behind.record, waits, Moment(again_us, now_us))
    assert found.result == Granted(lost.fence)


def test_the_step_leaves_room_for_a_slow_round_trip() -> None:
    assert limits.RETRY_STEP_MS * 1000 + SLOW_US < limits.CONFIRM_MS * 1000
