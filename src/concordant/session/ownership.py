"""A coordinator process's leased row in its transaction log."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence

from concordant.drivers.base import TransactionLog
from concordant.errors import BackendUnavailable, ConcordantError, OutcomeUnknown, UsageError
from concordant.session.stopping import Stop, join
from concordant.transactions.names import new_owner
from concordant.transactions.operations import (
    CloseOwner,
    LogOperation,
    LogResult,
    OpenOwner,
    OwnerGone,
    OwnerOpened,
    RenewOwner,
)

_log = logging.getLogger("concordant.transactions")
_CLOSE_S = 3.0


class Ownership:
    """Says that this process lives, so that others leave its transactions alone.

    Renewed by a thread at a third of the TTL. When the row is lost all the same (the process
    was stopped for too long), it is taken up again under the next epoch: what was begun
    under the old one is then recovered by whoever comes first, as the log decides.
    """

    def __init__(self, open_log: Callable[[], TransactionLog], ttl_ms: int) -> None:
        self.owner = new_owner()
        self.epoch = 0
        self.log_id = ""
        self._open_log = open_log
        self._ttl_ms = ttl_ms
        self._log: TransactionLog | None = None
        self._stopped = Stop()
        self._ended = False
        # Whether an epoch was asked for and may run, though nobody here knows its number.
        self._unanswered = False
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Register, and keep renewing; raises BackendUnavailable if the log cannot be had."""
        self._log = self._open_log()
        self._register()
        self._thread = threading.Thread(target=self._run, name="concordant-owner", daemon=True)
        self._thread.start()

    def check_usable(self) -> None:
        """Raise UsageError before start, after stop, or in a forked child."""
        if self._pid != os.getpid():
            raise UsageError("the coordinator was made before a fork; make one in this process")
        if not self.epoch or self._stopped:
            raise UsageError("enter the coordinator first: with Coordinator(url) as coordinator")

    def let_lapse(self) -> None:
        """Renew no more, without waiting for anything; what is left is then recovered in time."""
        self._stopped.give()

    def stop(self) -> None:
        """End the epoch, so that others may recover at once what is left.

        To be called again when Ctrl-C has broken it off.
        """
        self._stopped.give()
        if self._pid != os.getpid():
            return
        join(self._thread, _CLOSE_S)
        if self._log is not None:
            if not self._ended:
                self._end()
            self._log.close()

    def _end(self) -> None:
        try:
            if self._unanswered:
                self._register()  # which ends whatever ran before
            if self.epoch:
                self._apply([CloseOwner(self.owner, self.epoch)])
        except ConcordantError as error:
            _log.warning("the owner row will lapse by itself: %s", error)
        self._ended = True

    def _apply(self, batch: Sequence[LogOperation]) -> list[LogResult]:
        assert self._log is not None
        return self._log.apply(batch)

    def _register(self) -> None:
        note = f"pid {os.getpid()}"
        before, self._unanswered = self._unanswered, True
        try:
            (opened,) = self._apply([OpenOwner(self.owner, self._ttl_ms, note, self.epoch)])
            if not isinstance(opened, OwnerOpened):
                raise BackendUnavailable(f"the log did not take the owner row: {opened}")
        except OutcomeUnknown:
            raise
        except ConcordantError:
            self._unanswered = before  # this time, nothing was done for certain
            raise
        self.log_id, self.epoch = opened.log_id, opened.epoch
        self._unanswered = False

    def _run(self) -> None:
        while not self._stopped.wait(self._ttl_ms / 3000):
            try:
                (answer,) = self._apply([RenewOwner(self.owner, self.epoch, self._ttl_ms)])
                if isinstance(answer, OwnerGone):
                    _log.warning(
                        "epoch %d of this coordinator is over; taking the next", self.epoch
                    )
                    self._register()
            except ConcordantError as error:
                _log.warning("renewing the owner row failed, trying again: %s", error)
            except Exception:
                _log.exception("renewing the owner row failed, trying again")
