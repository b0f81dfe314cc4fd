"""The combiner's twins where they differ: cancelled tasks, and threads that Ctrl-C strikes."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from concordant._bridge import aio, sync
from concordant.errors import BackendUnavailable, OutcomeUnknown
from tests.surface.interrupting import interrupted_at
from tests.surface.together import Background, eventually

STEPS_MAX = 2000


class Gate:
    """A store of threads that answers when it is open."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.under_way = 0
        self.open = threading.Event()
        self.interrupt_in: int | None = None

    def apply(self, batch: Sequence[int]) -> list[int]:
        """Return the doubles."""
        self.batches.append(list(batch))
        self.under_way += 1
        try:
            assert self.open.wait(20)
            if threading.get_ident() == self.interrupt_in:
                self.interrupt_in = None  # the number may be another thread's later
                raise KeyboardInterrupt
            if any(item < 0 for item in batch):
                raise BackendUnavailable("no negative numbers")
            return [2 * item for item in batch]
        finally:
            self.under_way -= 1


class Crowd:
    """A combiner whose lanes are all taken, and threads that queue up behind."""

    def __init__(self, lanes: int) -> None:
        self.store = Gate()
        self.combiner: sync.Combiner[int, int] = sync.Combiner(self.store.apply, lanes, 8)
        self.asking: dict[int, Background] = {}
        for number in range(lanes):
            self.ask(1000 + number)
            eventually(partial(self._busy, number + 1))

    def ask(self, item: int) -> None:
        """Let one more thread ask."""
        queued = self.queued
        self.asking[item] = Background(partial(self.combiner.submit, item))
        if item < 1000:
            eventually(lambda: self.queued == queued + 1)

    def _busy(self, lanes: int) -> bool:
        return self.store.under_way == lanes

    @property
    def queued(self) -> int:
        """How many wait for a lane."""
        return len(self.combiner._pending)

    def all_come_back(self, interrupted: bool) -> None:
        """See that nobody is stranded, and that answers fit, or are said to be unknown."""
        unknown = 0
        for item, asking in self.asking.items():
            try:
                assert asking.result() == 2 * item
            except OutcomeUnknown:
                unknown += 1
        assert not unknown or interrupted

    def all_lanes_are_there(self, lanes: int) -> None:
        """See that as many batches as before, and no more, can be under way."""
        self.store.open.clear()
        last = [Background(partial(self.combiner.submit, 7)) for _ in range(lanes + 1)]
        eventually(lambda: self.store.under_way + self.queued == lanes + 1)
        assert self.store.under_way == lanes
        self.store.open.set()
        assert [each.result() for each in last] == [14] * (lanes + 1)


def interrupt_one(at: int, lanes: int, ahead: int) -> str:
    """Interrupt a thread at one place, with so many queued before it and two behind it."""
    crowd = Crowd(lanes)
    for item in range(ahead):
        crowd.ask(item)
    left = threading.Event()

    def follow() -> None:
        # Behind the one that is interrupted, if it gets so far.
        eventually(lambda: crowd.queued > ahead or left.is_set())
        crowd.ask(50)
        crowd.ask(51)
        crowd.store.open.set()

    following = Background(follow)
    where = interrupted_at(at, partial(crowd.combiner.submit, 100), ("_bridge",))
    left.set()
    following.result()
    crowd.all_come_back(bool(where))
    crowd.all_lanes_are_there(lanes)
    return where


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("ahead", [0, 1])
def test_wherever_a_thread_is_interrupted_nobody_is_stranded(lanes: int, ahead: int) -> None:
    # With nobody ahead it comes to lead the rest; with somebody ahead it is carried.
    at = 1
    while interrupt_one(at, lanes, ahead):
        at += 1
    assert 10 < at < STEPS_MAX


def interrupt_the_leader(at: int) -> str:
    """Interrupt a thread that finds a lane free, with two who queue up while it is under way."""
    store = Gate()
    combiner: sync.Combiner[int, int] = sync.Combiner(store.apply, 1, 8)
    combiner.defer(500)
    left = threading.Event()

    def follow() -> list[object]:
        eventually(lambda: bool(store.batches) or left.is_set())
        followers = [Background(partial(combiner.submit, item)) for item in (1, 2)]
        store.open.set()
        return [follower.result() for follower in followers]

    following = Background(follow)
    where = interrupted_at(at, partial(combiner.submit, 100), ("_bridge",))
    left.set()
    assert following.result() == [2, 4]
    combiner.flush()
    # It may go twice, which is harmless, but it must not get lost.
    assert any(500 in batch for batch in store.batches)
    return where


def test_wherever_a_thread_that_leads_at_once_is_interrupted() -> None:
    at = 1
    while interrupt_the_leader(at):
        at += 1
    assert 20 < at < STEPS_MAX


def test_a_leader_that_the_store_interrupts_leaves_the_lead() -> None:
    crowd = Crowd(1)

    def lead() -> None:
        crowd.store.interrupt_in = threading.get_ident()
        crowd.combiner.submit(100)

    leading = Background(lead)
    eventually(lambda: crowd.queued == 1)
    for item in range(3):
        crowd.ask(item)
    crowd.store.open.set()
    with pytest.raises(KeyboardInterrupt):
        leading.result()
    assert crowd.asking.pop(1000).result() == 2000
    for asking in crowd.asking.values():
        # Carried by the one that was interrupted, so nobody knows what became of it.
        with pytest.raises(OutcomeUnknown):
            asking.result()
    crowd.all_lanes_are_there(1)


def test_a_real_signal_while_it_waits() -> None:
    crowd = Crowd(1)
    crowd.ask(1)

    def strike() -> None:
        eventually(lambda: crowd.queued == 2)
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)

    striking = Background(strike)
    with pytest.raises(KeyboardInterrupt):
        crowd.combiner.submit(100)
    striking.result()
    crowd.ask(2)
    crowd.store.open.set()
    crowd.all_come_back(False)
    # What nobody waits for any more is not sent.
    assert crowd.store.batches == [[1000], [1, 2]]


def test_two_leaders_never_share_an_heir() -> None:
    # Both end at about the same time, with one thread in the queue.
    for _ in range(30):
        crowd = Crowd(2)
        crowd.ask(1)
        crowd.store.open.set()
        crowd.all_come_back(False)
        crowd.all_lanes_are_there(2)


def test_drain_waits_for_threads() -> None:
    crowd = Crowd(1)
    crowd.ask(1)
    draining = Background(crowd.combiner.drain)
    time.sleep(0.02)
    assert not draining.done
    crowd.store.open.set()
    draining.result()
    assert crowd.store.under_way == 0
    crowd.all_come_back(False)


# --- tasks ----------------------------------------------------------------------------------


class AsyncGate:
    """A store of tasks that answers when it is open."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()

    async def apply(self, batch: Sequence[int]) -> list[int]:
        """Return the doubles."""
        self.batches.append(list(batch))
        await self.open.wait()
        if any(item < 0 for item in batch):
            raise BackendUnavailable("no negative numbers")
        return [2 * item for item in batch]


async def turns(number: int = 3) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_what_was_cancelled_before_it_was_sent_is_not_sent() -> None:
    store = AsyncGate()
    combiner: aio.Combiner[int, int] = aio.Combiner(store.apply, 1, 8)
    asking = [asyncio.ensure_future(combiner.submit(100))]
    await turns()
    for item in range(4):
        asking.append(asyncio.ensure_future(combiner.submit(item)))
        await turns()
    asking[2].cancel()
    store.open.set()
    done, _ = await asyncio.wait(asking, timeout=20)
    assert [task.cancelled() for task in asking] == [False, False, True, False, False]
    assert [task.result() for task in asking if not task.cancelled()] == [200, 0, 4, 6]
    assert store.batches == [[100], [0, 2, 3]]
    assert len(done) == 5


async def test_cancelling_one_of_a_batch_does_not_harm_the_others() -> None:
    store = AsyncGate()
    combiner: aio.Combiner[int, int] = aio.Combiner(store.apply, 1, 8)
    asking = [asyncio.ensure_future(combiner.submit(item)) for item in range(4)]
    await turns()
    assert store.batches == [[0, 1, 2, 3]]
    for task in asking[:3]:
        task.cancel()
    await turns()
    assert [task.cancelled() for task in asking] == [True, True, True, False]
    store.open.set()
    assert await asking[3] == 6
    assert await combiner.submit(5) == 10


async def test_all_of_a_batch_may_be_cancelled() -> None:
    store = AsyncGate()
    combiner: aio.Combiner[int, int] = aio.Combiner(store.apply, 1, 8)
    for when in (0, 1, 2, 3):
        asking = [asyncio.ensure_future(combiner.submit(item)) for item in range(4)]
        await turns(when)
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
    store.open.set()
    await combiner.drain()
    assert await combiner.submit(5) == 10


async def test_a_carrier_that_is_cancelled_leaves_nobody_waiting() -> None:
    store = AsyncGate()
    combiner: aio.Combiner[int, int] = aio.Combiner(store.apply, 1, 2)
    asking = [asyncio.ensure_future(combiner.submit(item)) for item in range(4)]
    await turns()
    # As the end of asyncio.run does with every task there is.
    [carrier] = [
        task
        for task in asyncio.all_tasks()
        if task not in asking and task is not asyncio.current_task()
    ]
    carrier.cancel()
    for task in asking[:2]:
        with pytest.raises(OutcomeUnknown):
            await task
    store.open.set()
    assert [await task for task in asking[2:]] == [4, 6]


async def plainly(combiner: aio.Combiner[int, int]) -> int:
    return await combiner.submit(1) + await combiner.submit(2)


async def failing(combiner: aio.Combiner[int, int]) -> int:
    await combiner.submit(1)
    raise BackendUnavailable("of the action")


async def seeing_to_it(combiner: aio.Combiner[int, int]) -> str:
    try:
        await combiner.submit(-1)
    except BackendUnavailable:
        return f"seen to, {await combiner.submit(1)}"
    return "not seen"


Ending = Callable[..., object]


@pytest.mark.parametrize("ending", [aio.settle, aio.finish])
async def test_an_action_that_must_end_ends_though_it_is_cancelled(ending: Ending) -> None:
    store = AsyncGate()
    combiner: aio.Combiner[int, int] = aio.Combiner(store.apply, 1, 8)

    async def run(action: Callable[..., object]) -> object:
        return await ending(action, combiner)  # type: ignore[misc]

    for cancellations in (1, 3):
        for action in (plainly, failing):
            store.open.clear()
            store.batches.clear()
            task = asyncio.ensure_future(run(action))
            for _ in range(cancellations):
                await turns()
                task.cancel()
            await turns()
            assert not task.done()
            store.open.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert store.batches[0] == [1]
            assert len(store.batches) == (2 if action is plainly else 1)
            assert task.cancelling() == cancellations
    assert await run(plainly) == 6
    assert await run(seeing_to_it) == "seen to, 2"
    with pytest.raises(BackendUnavailable, match="of the action"):
        await run(failing)


@pytest.mark.parametrize("ending", [aio.settle, aio.finish])
async def test_a_cancellation_meets_the_answer(ending: Ending) -> None:
    store = AsyncGate()
    combiner: aio.Combiner[int, int] = aio.Combiner(store.apply, 1, 8)

    async def run() -> object:
        return await ending(plainly, combiner)  # type: ignore[misc]

    for after in range(12):
        store.open.set()
        store.batches.clear()
        task = asyncio.ensure_future(run())
        await turns(after)
        late = task.done()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() != late
        assert store.batches in ([[1], [2]], [])
        # Nothing was begun, or all of it was done.
        assert after > 1 or store.batches in ([], [[1], [2]])
