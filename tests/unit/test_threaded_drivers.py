"""Blocking drivers on threads: cancellation tears nothing, and closing ends the thread."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from concordant.drivers import registry
from concordant.drivers.base import Branch, InDoubt, Resolution, Vote
from concordant.drivers.capabilities import Capabilities
from concordant.drivers.memory.locks import CAPABILITIES
from concordant.drivers.threaded import OwnThread, ThreadedParticipant
from concordant.errors import UsageError
from concordant.locking.names import new_client, owner_id
from concordant.locking.operations import Acquire, Granted, Release
from concordant.transactions.names import BranchId
from concordant.transactions.operations import Decide, Decision

BRANCH = BranchId("c0000000", "owner001", 1, 0, "gid")


def threads(prefix: str) -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith(prefix)]


# --- one thread ---------------------------------------------------------------------------


async def test_calls_run_one_after_another_on_one_thread() -> None:
    thread = OwnThread("test-own")
    seen: list[str] = []

    def call(number: int) -> int:
        seen.append(threading.current_thread().name)
        return number

    assert await asyncio.gather(*(thread.run(call, n) for n in range(5))) == list(range(5))
    assert len(set(seen)) == 1
    assert seen[0].startswith("test-own")
    await thread.end(lambda: None)
    assert threads("test-own") == []


async def test_a_cancelled_call_that_runs_goes_on_to_its_end_before_the_next() -> None:
    thread = OwnThread("test-cancel")
    running, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def slow() -> None:
        running.set()
        go_on.wait(10)
        order.append("slow")

    task = asyncio.create_task(thread.run(slow))
    await asyncio.to_thread(running.wait, 10)
    queued = asyncio.create_task(thread.run(order.append, "never"))
    await asyncio.sleep(0)
    for one in (task, queued):
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
    after = asyncio.create_task(thread.run(order.append, "after"))
    await asyncio.sleep(0)
    go_on.set()
    await after
    assert order == ["slow", "after"]
    await thread.end(lambda: order.append("last"))
    assert order[-1] == "last"


async def test_closing_comes_after_what_is_queued_even_if_it_is_cancelled() -> None:
    thread = OwnThread("test-end")
    go_on = threading.Event()
    order: list[str] = []

    def slow() -> None:
        go_on.wait(10)
        order.append("slow")

    task = asyncio.create_task(thread.run(slow))
    await asyncio.sleep(0)
    closing_task = asyncio.create_task(thread.end(lambda: order.append("last")))
    await asyncio.sleep(0)
    closing_task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing_task
    with pytest.raises(UsageError, match="closed"):
        await thread.run(print)
    go_on.set()
    await task
    for one in threads("test-end"):
        await asyncio.to_thread(one.join, 10)
    assert order == ["slow", "last"]
    await thread.end(lambda: order.append("twice"))
    assert order == ["slow", "last"]


async def test_a_forked_child_is_refused_rather_than_left_waiting() -> None:
    thread = OwnThread("test-fork")
    await thread.run(lambda: None)
    child = os.fork()
    if child == 0:
        try:
            thread.submit(print)
        except UsageError:
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    await thread.end(lambda: None)


# --- stores -------------------------------------------------------------------------------


async def test_cancelling_at_any_moment_leaves_a_store_whole(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/locks.db"
    store, client = registry.async_lock_store(url), new_client()
    with closing(registry.lock_store(url)) as other:
        for number in range(60):
            owner = owner_id(client, number)
            acquire = Acquire(f"lock-{number}", owner, 30_000)
            task = asyncio.create_task(store.apply([acquire]))
            for _ in range(number % 6):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            # Whether it was done or not, asking again with the same id settles it.
            [settled] = await store.apply([acquire])
            assert isinstance(settled, Granted)
            [again] = other.apply([acquire])
            assert again == settled
            await store.apply([Release(acquire.name, owner, settled.fence)])
        assert other.names() == []
    await store.aclose()
    with pytest.raises(UsageError, match="closed"):
        await store.apply([])


async def test_closing_a_log_ends_its_thread(tmp_path: Path) -> None:
    log = registry.async_transaction_log(f"sqlite://{tmp_path}/log.db")
    [decision] = await log.apply([Decide("g", "abort", "owner001", 1)])
    assert isinstance(decision, Decision)
    assert len(threads("concordant-log")) == 1
    await log.aclose()
    await log.aclose()
    assert threads("concordant-log") == []


# --- participants -------------------------------------------------------------------------


class RecordingBranch:
    """A branch that notes what is done to it, and where."""

    connection: Any = object()

    def __init__(self, journal: list[str]) -> None:
        self._journal = journal

    def _note(self, what: str) -> None:
        self._journal.append(f"{what} on {threading.current_thread().name.rpartition('_')[0]}")

    def prepare(self) -> Vote:
        self._note("prepare")
        return Vote("prepared")

    def commit_one_phase(self) -> None:
        self._note("commit")

    def abandon(self) -> None:
        self._note("abandon")


class RecordingParticipant:
    """A participant in memory whose `begin` waits until it is told to go on."""

    place = "memory://recording"
    capabilities: Capabilities = CAPABILITIES

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def resource(self) -> str:
        return "resource"

    def begin(self, branch: BranchId) -> Branch:
        self.begun.set()
        self.go_on.wait(10)
        return RecordingBranch(self.journal)

    def resolve(self, branch: str, commit: bool) -> Resolution:
        self.journal.append(f"resolve {branch} {commit}")
        return "done"

    def committed(self, branch: str) -> bool:
        return branch == "yes"

    def in_doubt(self) -> list[InDoubt]:
        return [InDoubt("b", 1.0)]

    def close(self) -> None:
        self.journal.append("close")


async def test_a_branch_has_a_thread_of_its_own_until_it_is_over() -> None:
    inner = RecordingParticipant()
    inner.go_on.set()
    participant = ThreadedParticipant(inner)
    first = await participant.begin(BRANCH)
    second = await participant.begin(BRANCH)
    assert first.connection is RecordingBranch.connection
    assert len(threads("concordant-branch")) == 2
    assert await first.prepare() == Vote("prepared")
    await second.commit_one_phase()
    for branch in (first, second):
        await branch.abandon()
        await branch.abandon()
    assert threads("concordant-branch") == []
    done = ["prepare", "commit", "abandon", "abandon"]
    assert inner.journal == [f"{what} on concordant-branch" for what in done]
    del inner.journal[:]
    assert await participant.resource() == "resource"
    assert await participant.resolve("b", True) == "done"
    assert await participant.committed("yes")
    assert await participant.in_doubt() == [InDoubt("b", 1.0)]
    assert (participant.place, participant.capabilities) == (inner.place, inner.capabilities)
    await participant.aclose()
    assert inner.journal == ["resolve b True", "close"]
    assert threads("concordant-participant") == []


async def test_a_branch_that_nobody_will_hold_is_abandoned() -> None:
    inner = RecordingParticipant()
    participant = ThreadedParticipant(inner)
    task = asyncio.create_task(participant.begin(BRANCH))
    await asyncio.to_thread(inner.begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert inner.journal == []
    inner.go_on.set()
    for one in threads("concordant-branch"):
        await asyncio.to_thread(one.join, 10)
    assert inner.journal == ["abandon on concordant-branch"]
    assert threads("concordant-branch") == []
    await participant.aclose()
