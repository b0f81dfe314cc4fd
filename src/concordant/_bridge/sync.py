"""The sync twins: threads of one process."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, Protocol, TypeVar, TypeVarTuple, Unpack

from concordant.errors import OutcomeUnknown
from concordant.session.holding import Holding
from concordant.session.listener import Won

_log = logging.getLogger("concordant.transactions")

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Value = TypeVar("Value")
Given = TypeVarTuple("Given")


class _Asked(Generic[Item, Answer]):
    """What one thread asked, and the lock it sleeps on until it is answered or must lead."""

    __slots__ = ("answers", "failure", "items", "leads", "woken")

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.answers: list[Answer] | None = None
        self.failure: BaseException | None = None
        self.leads = False
        self.woken = threading.Lock()
        self.woken.acquire()

    def wake(self) -> None:
        """Let the thread look again; twice before it has looked is once."""
        try:
            self.woken.release()
        except RuntimeError:
            return


class Combiner(Generic[Item, Answer]):
    """Carry what many threads ask in few round trips (flat combining).

    There is no thread of its own: a caller that finds a lane free leads, carrying what
    others asked meanwhile, and hands the lead on in `finally`. If `apply` fails, every asker
    of that batch gets the exception.
    """

    def __init__(
        self,
        apply: Callable[[Sequence[Item]], list[Answer]],
        lanes: int,
        batch_max: int,
    ) -> None:
        self._apply = apply
        self._lanes = lanes
        self._batch_max = batch_max
        self._mutex = threading.Lock()
        self._pending: deque[_Asked[Item, Answer]] = deque()
        self._leaders = 0
        self._deferred: deque[Item] = deque()

    def defer(self, item: Item) -> None:
        """Let an item whose answer nobody needs go with the next batch, whenever that is."""
        self._deferred.append(item)

    def flush(self) -> None:
        """Carry what was deferred and has met no batch."""
        if self._deferred:
            self.submit_many(())

    def submit(self, item: Item) -> Answer:
        """Return the answer to one item."""
        return self.submit_many((item,))[0]

    def submit_many(self, items: Sequence[Item]) -> list[Answer]:
        """Return the answers to items that go in one batch, in order."""
        asked: _Asked[Item, Answer] = _Asked(items)
        try:
            with self._mutex:
                self._pending.append(asked)
                if self._leaders < self._lanes:
                    self._leaders += 1
                    asked.leads = True
            while asked.answers is None and asked.failure is None:
                if asked.leads:
                    self._lead(asked)
                else:
                    asked.woken.acquire()
        except BaseException:
            self._leave(asked)
            raise
        if asked.leads:  # another lane carried it while the lead was being handed over
            self._hand_on(asked)
        if asked.failure is not None:
            raise asked.failure
        assert asked.answers is not None
        return asked.answers

    def drain(self) -> None:
        """Wait until nothing is under way; callers wait for their own answers already."""

    def _lead(self, asked: _Asked[Item, Answer]) -> None:
        batch: list[_Asked[Item, Answer]] = []
        extra: list[Item] = []
        try:
            with self._mutex:
                batch = self._take()
                items = [item for each in batch for item in each.items]
                room = self._batch_max - len(items)
                while self._deferred and len(extra) < room:
                    extra.append(self._deferred.popleft())
            if not batch:  # another lane has all of it
                self._hand_on(asked)
                return
            answers = self._apply([*items, *extra])
            start = 0
            for each in batch:
                each.answers = answers[start : start + len(each.items)]
                start += len(each.items)
        except BaseException as error:
            self._deferred.extend(extra)
            for each in batch:
                if each.answers is None:
                    each.failure = (
                        error
                        if isinstance(error, Exception)
                        else OutcomeUnknown("the request was interrupted; ask again")
                    )
            if not isinstance(error, Exception):
                raise
        finally:
            for each in batch:
                if each is not asked:
                    each.wake()
            if asked.answers is not None or asked.failure is not None:
                self._hand_on(asked)

    def _take(self) -> list[_Asked[Item, Answer]]:
        taken: list[_Asked[Item, Answer]] = []
        size = 0
        while self._pending and (
            not taken or size + len(self._pending[0].items) <= self._batch_max
        ):
            taken.append(self._pending.popleft())
            size += len(taken[-1].items)
        return taken

    def _hand_on(self, asked: _Asked[Item, Answer]) -> None:
        """Give the lead to the first who waits, or the lane back."""
        with self._mutex:
            if not asked.leads:
                return
            asked.leads = False
            if self._pending:
                heir = self._pending[0]
                heir.leads = True
                heir.wake()
            else:
                self._leaders -= 1

    def _leave(self, asked: _Asked[Item, Answer]) -> None:
        """Give up, as KeyboardInterrupt makes a thread do, without stranding the others."""
        with self._mutex:
            if asked in self._pending:
                self._pending.remove(asked)
        self._hand_on(asked)


class Wait:
    """A waiter that threads can wake, and that can be waited on again and again."""

    def __init__(self, ttl_ms: int) -> None:
        self.ttl_ms = ttl_ms
        self._event = threading.Event()
        self._won: Won | None = None

    def wake(self, won: Won | None) -> None:
        """Deliver a grant, or None: ask again. Callable from any thread."""
        if won is not None:
            self._won = won
        self._event.set()

    def wait(self, timeout_s: float) -> Won | None:
        """Return a grant once there is one, or None when it is time to ask again."""
        if self._won is None:
            self._event.wait(timeout_s)
        self._event.clear()
        return self._won


class Scope:
    """In sync code a loss cannot interrupt the body; it shows at the exit."""

    def __init__(self, holdings: Sequence[Holding]) -> None:
        """Take the leases that the body depends on."""

    def close(self, exc_type: type[BaseException] | None, exc: BaseException | None) -> None:
        """Leave the scope."""


def settle(action: Callable[[Unpack[Given]], Value], *given: *Given) -> Value:
    """Run a bounded action to its end in the caller's thread."""
    return action(*given)


def call(function: Callable[[], Value]) -> Value:
    """Run a blocking function."""
    return function()


def pause(seconds: float) -> None:
    """Let the time pass."""
    time.sleep(seconds)


def current() -> int:
    """Return the identity of the running thread."""
    return threading.get_ident()


Trace = TracebackType | None


class Executor(Protocol):
    """Runs the commands of a transaction's machine; injected, so that tests can fail them."""

    def __call__(
        self, machine: str, state: str, command: object, action: Callable[[], Value]
    ) -> Value:
        """Run the action that carries out the command in this state, and return its value."""
        ...


def direct(machine: str, state: str, command: object, action: Callable[[], Value]) -> Value:
    """Run the action, and nothing else."""
    return action()


class Periodic:
    """Something done again and again while its owner lives."""

    def __init__(self, action: Callable[[], None], every_s: float) -> None:
        self._action = action
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start after one period."""
        self._thread = threading.Thread(target=self._run, name="concordant-recovery", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, after the action that is under way if there is one."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            try:
                self._action()
            except Exception:
                _log.exception("a background pass failed, trying again in %s s", self._every_s)
