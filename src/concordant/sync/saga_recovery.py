# Generated from src/concordant/aio/saga_recovery.py by tools/unasync.py; do not edit.
"""Recovery of sagas: take over what dead coordinators left, and bring it to its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from concordant.errors import ConcordantError, UsageError
from concordant.sync.recovery import Recovered
from concordant.sync.saga_run import SagaRun
from concordant.sync.sagas import Sagas
from concordant.transactions.operations import Advance, Claim, Outcome, Record, final
from concordant.transactions.saga import Resumed
from concordant.transactions.sagarecord import KIND, told

if TYPE_CHECKING:
    from concordant.sync.coordinator import Coordinator

_log = logging.getLogger("concordant.transactions")


class SagaRecoverer:
    """One pass after another over the log; only sagas that are registered here are touched.

    Sagas are taken one by one, so that a step that hangs keeps no other from the processes
    that could go on with it. A pause between attempts is no reason to wait: the run is put
    aside, and a later pass goes on with it.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        sagas: Sagas,
        on_recovered: Callable[[Recovered], None] | None,
    ) -> None:
        self._coordinator = coordinator
        self._sagas = sagas
        self._on_recovered = on_recovered
        # Whether a claim may have succeeded whose answer was lost.
        self._astray = False
        self._stopped = False

    def stop(self) -> None:
        """Take up nothing more; what is under way comes to its end or its next pause."""
        self._stopped = True

    def run_once(self) -> int:
        """Do what can be done now and return how many sagas came to their end."""
        sagas = self._sagas
        if not sagas.definitions():
            return 0
        if self._astray:
            self._find_astray()
        count = 0
        for gid in list(sagas.left):
            count += self._guarded(gid, partial(self._again, gid))
        for gid, run in list(sagas.resting.items()):
            if run.rested_at_s <= time.monotonic():
                count += self._guarded(gid, partial(self._go_on, run))
        while (record := self._claim_next()) is not None:
            count += self._guarded(record.gid, partial(self._recover, record))
        return count

    def run_quietly(self) -> None:
        """Do the same, and leave errors to the next pass."""
        try:
            self.run_once()
        except ConcordantError as error:
            _log.warning("sagas could not be recovered, trying again: %s", error)

    def _guarded(self, gid: str, action: Callable[[], bool]) -> int:
        """Run the action as the one who works on the gid, and keep its errors from others."""
        if self._stopped:
            return 0
        hold = self._sagas.enter(gid)
        if hold is None:
            # Under way here, perhaps under an epoch that is over: to be looked at later.
            self._sagas.left[gid] = None
            return 0
        try:
            return int(action())
        except Exception as error:
            _log.warning("saga %s is left to a later pass: %s", gid, error)
            self._sagas.left[gid] = None
            return 0
        except BaseException:
            self._sagas.left[gid] = None
            raise
        finally:
            self._sagas.leave(hold)

    # --- finding --------------------------------------------------------------------------

    def _claim_next(self) -> Record | None:
        if self._stopped:
            return None
        ownership = self._coordinator.ownership
        definitions = self._sagas.definitions()
        claim = Claim(ownership.owner, ownership.epoch, 1, definitions, own=False)
        self._astray = True
        record = self._sagas.taken_by(claim)
        self._astray = False
        return record

    def _find_astray(self) -> None:
        """Find what this process was given by a claim and never heard of."""
        sagas = self._sagas
        owner = self._coordinator.ownership.owner
        for record in (self._coordinator.journal.unfinished()).records:
            known = sagas.running(record.gid) or record.gid in sagas.resting
            if record.owner == owner and record.kind == KIND and not known:
                sagas.left[record.gid] = None
        self._astray = False

    def _again(self, gid: str) -> bool:
        """Go on with what an error has kept from its end, if it is still there to be had."""
        record = self._sagas.claim(gid)
        self._sagas.left.pop(gid, None)
        return record is not None and record.state != "stuck" and self._recover(record)

    # --- going on -------------------------------------------------------------------------

    def _recover(self, record: Record) -> bool:
        saga = self._sagas.registered(record.definition)
        if saga is None or record.kind != KIND:
            return False
        try:
            run = SagaRun(self._coordinator, saga, record, self._sagas.barrier)
        except UsageError as error:
            self._set_stuck(record, str(error))
            return False
        run.drive(Resumed(), patient=False)
        return self._look_after(run)

    def _go_on(self, run: SagaRun) -> bool:
        # A caller may have taken it over in the meantime.
        if self._sagas.resting.pop(run.gid, None) is not run:
            return False
        run.go_on()
        return self._look_after(run)

    def _look_after(self, run: SagaRun) -> bool:
        """Return whether the run is at its end; if not, see to it that it goes on."""
        if run.resting:
            self._sagas.resting[run.gid] = run
        elif run.state == "left":
            self._sagas.left[run.gid] = None
        elif run.state == "stuck":
            _log.error("saga %s is stuck: %s", run.gid, run.evidence)
        if not final(run.state):
            return False
        _log.info("recovered saga %s: %s", run.gid, run.state)
        if self._on_recovered is not None:
            outcome: Outcome = "commit" if run.state == "committed" else "abort"
            self._on_recovered(Recovered(run.gid, "", run.saga.definition, outcome, ""))
        return True

    def _set_stuck(self, record: Record, evidence: str) -> None:
        """Keep for a person what this version cannot read, untouched but for its state."""
        _log.error("saga %s is stuck: %s", record.gid, evidence)
        advance = Advance(
            record.gid,
            record.version,
            record.owner,
            record.epoch,
            "stuck",
            record.data,
            evidence=told(evidence),
        )
        self._coordinator.journal.advance(advance)
