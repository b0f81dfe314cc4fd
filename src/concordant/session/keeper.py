"""Keep leases alive, tell their loss in time, and finish what a caller could not.

Two daemon threads: one only watches the clock, so that a store that hangs cannot delay the
news of a loss; the other talks to the store. The renewal of every lease that is due is one
batch.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Final

from concordant.clock import Clock
from concordant.errors import ConcordantError
from concordant.locking.limits import BATCH_MAX
from concordant.locking.operations import Cancel, Held, Operation, Renew, Result
from concordant.session.holding import Holding
from concordant.session.stopping import join

_log = logging.getLogger("concordant.locks")
_NEVER_NS: Final = 1 << 62
_RETRY_NS: Final = 200_000_000

Apply = Callable[[Sequence[Operation]], list[Result]]


class Keeper:
    """The renewal of all leases of one client, and cancellations left to be done."""

    def __init__(self, apply: Apply, clock: Clock) -> None:
        self._apply = apply
        self._clock = clock
        # Taken as it is, never as the condition: that is entered by code in Python, and Ctrl-C
        # in there would leave it taken for ever.
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self._holdings: dict[str, Holding] = {}
        self._renewing: set[str] = set()
        self._leftovers: dict[str, tuple[Cancel, int]] = {}
        self._wake_ns = _NEVER_NS
        self._closed = False
        self._threads: dict[str, threading.Thread] = {}
        self._work: queue.SimpleQueue[list[Operation] | None] = queue.SimpleQueue()

    def keep(self, holding: Holding) -> None:
        """Renew the lease from now on."""
        with self._mutex:
            self._holdings[holding.owner] = holding
            if holding.renew_ns < self._wake_ns or len(self._threads) < 2:
                self._attend(holding.renew_ns)

    def drop(self, owner: str) -> None:
        """Stop renewing the owner's lease."""
        with self._mutex:
            self._holdings.pop(owner, None)

    def holdings(self) -> list[Holding]:
        """Return the leases that are kept now."""
        with self._mutex:
            return list(self._holdings.values())

    def cancel_later(self, cancel: Cancel, within_ns: int) -> None:
        """Cancel an owner as soon as the store answers, trying no longer than that."""
        now_ns = self._clock.local_ns()
        with self._mutex:
            self._leftovers[cancel.owner] = (cancel, now_ns + within_ns)
            self._attend(now_ns)

    def close(self, timeout_s: float) -> None:
        """Do what is left over, bounded in time, and end the threads."""
        with self._mutex:
            self._closed = True
            self._changed.notify_all()
            threads = list(self._threads.values())
        for thread in threads:
            join(thread, timeout_s)

    def _attend(self, at_ns: int) -> None:
        """Make sure that the watching thread looks no later than this; holds the lock."""
        if len(self._threads) < 2 and not self._closed:
            for name, target in (("watch", self._watch), ("renew", self._carry)):
                if name not in self._threads:
                    thread = threading.Thread(target=target, name=f"concordant-{name}", daemon=True)
                    # Started before it is counted: a KeyboardInterrupt in between makes a second
                    # one at the next call, which is harmless; none at all would lose every lease.
                    thread.start()
                    self._threads[name] = thread
        if at_ns < self._wake_ns:
            self._wake_ns = at_ns
            self._changed.notify_all()

    # --- the thread that watches ----------------------------------------------------------

    def _watch(self) -> None:
        while True:
            with self._mutex:
                pause_ns = self._wake_ns - self._clock.local_ns()
                if pause_ns > 0 and not self._closed:
                    # Bounded, since a suspended machine's waits run on another clock.
                    self._changed.wait(min(pause_ns / 1e9, 5.0))
                    if self._clock.local_ns() < self._wake_ns and not self._closed:
                        continue
                closed = self._closed
                if closed:
                    due: list[Operation] = [cancel for cancel, _ in self._leftovers.values()]
                    lost: list[Holding] = []
                else:
                    due, lost = self._due(self._clock.local_ns())
            self._tell(lost, "its time passed without a renewal")
            for start in range(0, len(due), BATCH_MAX):
                self._work.put(due[start : start + BATCH_MAX])
            if closed:
                self._work.put(None)
                return

    def _due(self, now_ns: int) -> tuple[list[Operation], list[Holding]]:
        due: list[Operation] = []
        lost: list[Holding] = []
        wake_ns = _NEVER_NS
        for holding in list(self._holdings.values()):
            if now_ns >= holding.deadline_ns:
                lost.append(holding)
                del self._holdings[holding.owner]
                continue
            # What is nearly due goes along, so that many leases share few round trips.
            early_ns = holding.ttl_ms * 1_000_000 // 12
            if now_ns >= holding.renew_ns - early_ns and holding.owner not in self._renewing:
                self._renewing.add(holding.owner)
                due.append(Renew(holding.name, holding.owner, holding.fence, holding.ttl_ms))
            renewing = holding.owner in self._renewing
            wake_ns = min(wake_ns, holding.deadline_ns if renewing else holding.renew_ns)
        for owner, (cancel, give_up_ns) in list(self._leftovers.items()):
            if now_ns >= give_up_ns:
                del self._leftovers[owner]
            elif owner not in self._renewing:
                self._renewing.add(owner)
                due.append(cancel)
        self._wake_ns = wake_ns
        return due, lost

    # --- the thread that talks to the store -----------------------------------------------

    def _carry(self) -> None:
        while (batch := self._work.get()) is not None:
            sent_ns = self._clock.local_ns()
            try:
                results: list[Result | None] = [*self._apply(batch)]
            except ConcordantError as error:
                _log.warning("%s failed, trying again: %s", _told(batch), error)
                results = [None] * len(batch)
            except Exception:
                # A thread that died silently would lose every lease of the process.
                _log.exception("%s failed, trying again", _told(batch))
                results = [None] * len(batch)
            self._settle(batch, results, sent_ns)
        self._work.put(None)  # for a second such thread, if Ctrl-C has made one

    def _settle(
        self, batch: Sequence[Operation], results: Sequence[Result | None], sent_ns: int
    ) -> None:
        lost: list[Holding] = []
        with self._mutex:
            for operation, result in zip(batch, results, strict=True):
                assert isinstance(operation, Renew | Cancel)
                owner = operation.owner
                self._renewing.discard(owner)
                if isinstance(operation, Renew) and owner in self._leftovers:
                    # Its cancellation came meanwhile, and has waited for this answer.
                    self._attend(self._clock.local_ns())
                elif result is None:
                    self._again(owner, sent_ns)
                elif isinstance(operation, Cancel):
                    self._leftovers.pop(owner, None)
                elif holding := self._holdings.get(owner):
                    if isinstance(result, Held):
                        holding.extend(sent_ns)
                    else:
                        lost.append(holding)
                        del self._holdings[owner]
                    self._attend(holding.renew_ns)
        self._tell(lost, "the store no longer has it (it expired or was broken)")

    def _tell(self, lost: Sequence[Holding], reason: str) -> None:
        callbacks = [callback for holding in lost for callback in holding.mark_lost(reason)]
        if not callbacks:
            return
        try:
            # In a thread of their own: one that blocks must not hold up the other leases.
            threading.Thread(
                target=_call_all, args=(callbacks,), name="concordant-lost", daemon=True
            ).start()
        except RuntimeError:  # no more threads to be had, but the news must get through
            _call_all(callbacks)

    def _again(self, owner: str, sent_ns: int) -> None:
        again_ns = self._clock.local_ns() + _RETRY_NS
        if holding := self._holdings.get(owner):
            # Short leases retry sooner, or one failure would be their last.
            again_ns = min(again_ns, sent_ns + holding.ttl_ms * 1_000_000 // 10)
            holding.renew_ns = max(again_ns, self._clock.local_ns() + 5_000_000)
            again_ns = holding.renew_ns
        self._attend(again_ns)


def _told(batch: Sequence[Operation]) -> str:
    """Say what a batch does, for people."""
    renewals = sum(isinstance(operation, Renew) for operation in batch)
    counts = {("renewing", "lease"): renewals, ("giving back", "lock"): len(batch) - renewals}
    return " and ".join(
        f"{verb} {count} {noun}{'s' if count > 1 else ''}"
        for (verb, noun), count in counts.items()
        if count
    )


def _call_all(callbacks: Sequence[Callable[[], None]]) -> None:
    for callback in callbacks:
        callback()
