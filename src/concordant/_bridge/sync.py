"""The sync twins: threads of one process."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Generic, Protocol, TypeVar, TypeVarTuple, Unpack, cast

from concordant.errors import LockLost, OutcomeUnknown
from concordant.session.holding import Holding
from concordant.session.listener import Won
from concordant.session.stopping import Stop, join

_log = logging.getLogger("concordant.transactions")
_DRAIN_S: Final = 0.002
# As short as there is: the kernel makes it some fifty microseconds, and a thread wakes in less.
_GIVE_WAY_S: Final = 0.000_001

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Value = TypeVar("Value")
Given = TypeVarTuple("Given")


class _Asked(Generic[Item, Answer]):
    """What one thread asked, and the lock it sleeps on until it is answered or must lead."""

    __slots__ = ("answers", "failure", "items", "woken")

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.answers: list[Answer] | None = None
        self.failure: Exception | None = None
        self.woken = threading.Lock()
        self.woken.acquire()

    @property
    def done(self) -> bool:
        """Whether it was answered, or will not be."""
        return self.answers is not None or self.failure is not None

    def wake(self) -> None:
        """Let the thread look again; twice before it has looked is once."""
        try:
            self.woken.release()
        except RuntimeError:
            return


class _Load(Generic[Item, Answer]):
    """What one leader carries, and what became of it."""

    __slots__ = ("answers", "asked", "extra", "failure")

    def __init__(self) -> None:
        self.asked: list[_Asked[Item, Answer]] = []
        self.extra: list[Item] = []
        self.answers: list[Answer] | None = None
        self.failure: Exception | None = None


class Combiner(Generic[Item, Answer]):
    """Carry what many threads ask in few round trips (flat combining).

    There is no thread of its own: a caller that finds a lane free leads, carrying what
    others asked meanwhile, and hands the lead on when it is done. If `apply` fails, every
    asker of that batch gets the exception. A KeyboardInterrupt may strike the leader
    anywhere, so every step can be taken a second time and nobody is left to sleep for ever.
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
        # Who has a lane. A set and no count beside flags, since the two could come apart:
        # two leaders may want to hand on to the same heir, and an interruption may fall
        # between the two writes.
        self._leading: set[object] = set()
        self._deferred: deque[Item] = deque()

    def defer(self, item: Item) -> None:
        """Let an item whose answer nobody needs go with the next batch, whenever that is."""
        self._deferred.append(item)

    def flush(self) -> None:
        """Carry what was deferred and has met no batch."""
        while self._deferred:
            self.submit_many(())

    def submit(self, item: Item) -> Answer:
        """Return the answer to one item."""
        return self.submit_many((item,))[0]

    def submit_many(self, items: Sequence[Item]) -> list[Answer]:
        """Return the answers to items that go in one batch, in order."""
        lead = object()
        try:
            with self._mutex:
                alone = not (self._pending or self._deferred or len(self._leading) >= self._lanes)
                if alone:
                    self._leading.add(lead)
            if alone:
                answers = self._apply(items)
                self._hand_on(lead)
                return answers
        except BaseException:
            self._hand_on(lead)
            raise
        return self._submit_in_turn(items)

    def _submit_in_turn(self, items: Sequence[Item]) -> list[Answer]:
        asked: _Asked[Item, Answer] = _Asked(items)
        try:
            with self._mutex:
                self._pending.append(asked)
                if len(self._leading) < self._lanes:
                    self._leading.add(asked)
            while not asked.done:
                if asked in self._leading:
                    self._lead(asked)
                else:
                    asked.woken.acquire()
            if asked in self._leading:  # another lane carried it while it was made the heir
                self._hand_on(asked)
        except BaseException:
            self._leave(asked)
            raise
        if asked.failure is not None:
            raise asked.failure
        assert asked.answers is not None
        return asked.answers

    def drain(self) -> None:
        """Wait until nothing is under way."""
        while self._leading:
            time.sleep(_DRAIN_S)

    def _lead(self, asked: _Asked[Item, Answer]) -> None:
        load: _Load[Item, Answer] = _Load()
        try:
            items = self._take(load)
            if not load.asked:  # another lane has all of it
                self._hand_on(asked)
                return
            load.answers = self._apply(items)
        except Exception as error:
            load.failure = error
        finally:
            try:
                self._land(asked, load)
            except BaseException:
                self._land(asked, load)
                raise

    def _take(self, load: _Load[Item, Answer]) -> list[Item]:
        """Move what waits into the load, as much as makes a batch, and return its items."""
        items: list[Item] = []
        with self._mutex:
            try:
                while self._pending and (
                    not load.asked or len(items) + len(self._pending[0].items) <= self._batch_max
                ):
                    # In the load before it leaves the queue: it must not get lost in between.
                    load.asked.append(self._pending[0])
                    self._pending.popleft()
                    items.extend(load.asked[-1].items)
                while load.asked and self._deferred and len(items) < self._batch_max:
                    load.extra.append(self._deferred[0])
                    self._deferred.popleft()
                    items.append(load.extra[-1])
            except BaseException:
                if self._pending and self._pending[0] in load.asked:
                    self._pending.popleft()
                raise
        return items

    def _land(self, asked: _Asked[Item, Answer], load: _Load[Item, Answer]) -> None:
        """Give out the answers, or the failure, and hand on the lead; harmless to repeat."""
        if load.answers is None:
            while load.extra:
                self._deferred.append(load.extra[-1])
                load.extra.pop()
        start = 0
        for each in load.asked:
            if load.answers is not None:
                each.answers = load.answers[start : start + len(each.items)]
                start += len(each.items)
            elif not each.done:
                each.failure = load.failure or OutcomeUnknown(
                    "the request was interrupted; ask again"
                )
            if each is not asked:
                each.wake()
        if asked.done:
            self._hand_on(asked)

    def _hand_on(self, lead: object) -> None:
        """Give the lead to the first who waits, or the lane back; harmless to repeat."""
        with self._mutex:
            if lead not in self._leading:
                return
            for heir in self._pending:
                if heir in self._leading:
                    heir.wake()  # again: an interruption may have come before its wake
                    continue
                if len(self._leading) <= self._lanes:
                    self._leading.add(heir)
                    heir.wake()
                break
            self._leading.discard(lead)

    def _leave(self, asked: _Asked[Item, Answer]) -> None:
        """Give up, as KeyboardInterrupt makes a thread do, without stranding the others."""
        with self._mutex:
            if asked in self._pending:
                self._pending.remove(asked)
        self._hand_on(asked)


class Wait:
    """A waiter that threads can wake, and that can be waited on again and again."""

    def __init__(self, name: str, ttl_ms: int) -> None:
        self.name = name
        self.ttl_ms = ttl_ms
        # No event, whose own lock Ctrl-C could leave taken for ever.
        self._woken = threading.Lock()
        self._woken.acquire()
        self._won: Won | None = None

    def wake(self, won: Won | None) -> None:
        """Deliver a grant, or None: ask again. Callable from any thread."""
        if won is not None:
            self._won = won
        try:
            self._woken.release()
        except RuntimeError:  # woken already, and has not looked since
            return

    def wait(self, timeout_s: float) -> Won | None:
        """Return a grant once there is one, or None when it is time to ask again."""
        if self._won is None:
            self._woken.acquire(timeout=min(max(0.0, timeout_s), threading.TIMEOUT_MAX))
        return self._won


Caller = int


def current() -> Caller:
    """Return the identity of the running thread."""
    return threading.get_ident()


class Scope:
    """A body under way: a loss cannot interrupt it in sync code, and shows at the exit.

    `given` is what entering it gave, `depth` how often it was entered.
    """

    __slots__ = ("depth", "given", "holdings")

    def __init__(self, caller: Caller, given: Any, holdings: Sequence[Holding]) -> None:
        self.given = given
        self.holdings = holdings
        self.depth = 1

    def close(self, exc_type: type[BaseException] | None) -> LockLost | None:
        """Leave the scope; the release tells whether the leases held to the end."""
        return None


def settle(action: Callable[[Unpack[Given]], Value], *given: *Given) -> Value:
    """Run a bounded action to its end in the caller's thread."""
    return action(*given)


finish = settle


def in_turn(*steps: Callable[[], None]) -> None:
    """Take each step, whatever error another one ends with; the first error is raised after all.

    Ctrl-C ends it at once: then all of them have to be taken again.
    """
    errors: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


def give_way() -> None:
    """Let a thread that was woken run first, which else waits until this one has to."""
    time.sleep(_GIVE_WAY_S)


def call(function: Callable[[], Value]) -> Value:
    """Run a blocking function."""
    return function()


def pause(seconds: float) -> None:
    """Let the time pass."""
    time.sleep(seconds)


class Overdue(Exception):
    """The time for an action is over; it may still happen, or have happened."""


def within(timeout_s: float | None, action: Callable[[], Value]) -> Value:
    """Run the action for at most so long (None: as long as it takes).

    Raises Overdue once the time is over. No thread can be stopped from outside, so a bounded
    action runs in one of its own, which is then left to come to its end.
    """
    if timeout_s is None:
        return action()
    over = threading.Event()
    ended: list[tuple[Value | None, BaseException | None]] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            ended.append((context.run(action), None))
        except BaseException as error:
            ended.append((None, error))
        over.set()

    threading.Thread(target=run, name="concordant-step", daemon=True).start()
    if not over.wait(timeout_s):
        raise Overdue
    value, failure = ended[0]
    if failure is not None:
        raise failure
    return cast(Value, value)


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

    def __init__(self, action: Callable[[], None], every_s: float, at_once: bool = False) -> None:
        self._action = action
        self._every_s = every_s
        self._at_once = at_once
        self._stopped = Stop()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start after one period, or at once."""
        self._thread = threading.Thread(target=self._run, name="concordant-recovery", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, after the action that is under way if there is one."""
        self._stopped.give()
        join(self._thread)

    def _run(self) -> None:
        while not self._stopped.wait(0 if self._at_once else self._every_s):
            self._at_once = False
            try:
                self._action()
            except Exception:
                _log.exception("a background pass failed, trying again in %s s", self._every_s)
