"""One saga under way: the shell around the saga machine."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from concordant._bridge.aio import Overdue, pause, settle, within
from concordant.aio.saga import AsyncSaga
from concordant.aio.step import AsyncStepContext, Misuse
from concordant.drivers.stepport import AsyncBarrier
from concordant.errors import OutcomeUnknown, StepFailed, TransactionStuck
from concordant.transactions.barrier import Op
from concordant.transactions.operations import Advance, Conflict, Record
from concordant.transactions.saga import (
    Act,
    Answered,
    Command,
    Compensate,
    Event,
    Failed,
    Overtaken,
    Refused,
    Rest,
    Rested,
    SagaMachine,
    Save,
    Saved,
    SaveUnknown,
    TimedOut,
    Unfit,
    step,
)
from concordant.transactions.sagarecord import Charter, SagaOutcome, told

if TYPE_CHECKING:
    from concordant.aio.coordinator import AsyncCoordinator

_log = logging.getLogger("concordant.transactions")


class AsyncSagaRun:
    """Brings one saga to its end, as long as this process has it.

    `record` is the saga as the log gave it to this owner and epoch. Every change goes back by
    compare-and-set; once that fails, somebody else has the saga, and this run is over.
    """

    def __init__(
        self,
        coordinator: AsyncCoordinator,
        saga: AsyncSaga,
        record: Record,
        barrier: Callable[[str], AsyncBarrier],
    ) -> None:
        self.gid = record.gid
        self.saga = saga
        self.rested_at_s = 0.0
        self._coordinator = coordinator
        self._record = record
        self._barrier = barrier
        self._charter = Charter.from_json(record.payload)
        steps = len(self._charter.steps)
        self._machine = SagaMachine.from_json(record.state, record.data, steps, saga.limits)
        self._end_s: float | None = None
        if self._charter.timeout_ms is not None:
            left_ms = self._charter.timeout_ms - record.age_ms
            self._end_s = time.monotonic() + left_ms / 1000

    @property
    def state(self) -> str:
        """Where the machine stands, in the words of transactions/saga.py."""
        return self._machine.state

    @property
    def evidence(self) -> str:
        """What keeps it from its end, or went wrong last."""
        return self._machine.evidence

    @property
    def resting(self) -> bool:
        """Whether it waits for its next attempt; `go_on` continues then."""
        return self._machine.rest_ms > 0 and self._machine.state in ("running", "aborting")

    async def drive(self, event: Event, patient: bool) -> None:
        """Go on from the event until the saga is over for this process.

        Without patience it also returns when there is a pause to make: `resting` is true
        then, until `rested_at_s` of the monotonic clock.
        """
        if self._charter.steps != self.saga.step_names:
            event = Unfit(
                f"it was begun with the steps {', '.join(self._charter.steps)}, and"
                f" {self.saga.definition} has {', '.join(self.saga.step_names)} here; register"
                " what it was begun with"
            )
        while True:
            self._machine, commands = step(self._machine, event)
            if not commands:
                return
            (command,) = commands
            if isinstance(command, Rest) and not patient:
                self.rested_at_s = time.monotonic() + command.pause_ms / 1000
                return
            event = await self._run(command)

    async def go_on(self) -> None:
        """Make the attempt that it rested for, and so on without patience."""
        await self.drive(TimedOut(started=False) if self._late() else Rested(), patient=False)

    def outcome(self, fresh: bool) -> SagaOutcome:
        """Return how it ended; raises TransactionStuck or OutcomeUnknown if it has not."""
        machine = self._machine
        match machine.state:
            case "committed":
                return SagaOutcome(self.gid, "committed", self._results(len(machine.steps)), fresh)
            case "aborted":
                return SagaOutcome(self.gid, "aborted", {}, fresh, machine.reason)
            case "stuck":
                raise TransactionStuck(
                    f"the saga {self.gid} is stuck: {machine.evidence}; mend that, then call"
                    " coordinator.retry(gid)"
                )
        raise OutcomeUnknown(
            f"how the saga {self.gid} goes on is not known here: {machine.trouble}; recovery"
            " brings it to its end, run it again with the same gid to see how"
        )

    # --- running the machine --------------------------------------------------------------

    async def _run(self, command: Command) -> Event:
        match command:
            case Act():
                return await self._act(command)
            case Compensate():
                return await self._compensate(command)
            case Save():
                return await settle(self._save, command)
            case Rest(pause_ms):
                left_s = self._left_s()
                pause_s = pause_ms / 1000
                await pause(pause_s if left_s is None else min(pause_s, max(left_s, 0.0)))
                return TimedOut(started=False) if self._late() else Rested()

    async def _execute(self, command: Command, action: Any) -> Any:
        return await self._coordinator.executor("saga", self._machine.state, command, action)

    def _left_s(self) -> float | None:
        """Return the time left for the way forward; there is no bound on the way back."""
        if self._end_s is None or self._machine.state != "running":
            return None
        return self._end_s - time.monotonic()

    def _late(self) -> bool:
        left_s = self._left_s()
        return left_s is not None and left_s <= 0

    async def _act(self, command: Act) -> Event:
        name = self.saga.steps[command.index].name
        if self._late():
            return TimedOut(started=False)
        try:
            result = await within(
                self._left_s(),
                lambda: self._execute(command, lambda: self._call("action", command)),
            )
        except Overdue:
            return TimedOut(started=True)
        except (StepFailed, Misuse) as error:
            return Refused(told(f"{name}: {error}"))
        except Exception as error:
            return self._failed(f"the action of {name}", error)
        return Answered(result)

    async def _compensate(self, command: Compensate) -> Event:
        name = self.saga.steps[command.index].name
        try:
            await self._execute(command, lambda: self._call("compensation", command))
        except Exception as error:
            return self._failed(f"the compensation of {name}", error)
        return Answered()

    def _failed(self, what: str, error: Exception) -> Failed:
        trouble = told(f"{what}: {type(error).__name__}: {error}")
        _log.warning("saga %s: %s", self.gid, trouble)
        return Failed(trouble)

    async def _call(self, op: Op, command: Act | Compensate) -> Any:
        chosen = self.saga.steps[command.index]
        function = chosen.action if op == "action" else chosen.compensation
        # Its own action's result, too, if there is one.
        seen = command.index + (op == "compensation")
        context = AsyncStepContext(
            self.gid,
            chosen.name,
            op,
            command.attempt,
            json.loads(self._charter.payload),
            self._results(seen),
            self._barrier,
        )
        return await context.run(function)

    def _results(self, seen: int) -> dict[str, Any]:
        machine = self._machine
        return {
            name: machine.results[index]
            for index, name in enumerate(self._charter.steps[:seen])
            if machine.steps[index] == "done"
        }

    # --- the log --------------------------------------------------------------------------

    async def _save(self, command: Save) -> Event:
        record, machine = self._record, self._machine
        assert machine.state != "left"
        advance = Advance(
            record.gid,
            record.version,
            record.owner,
            record.epoch,
            machine.state,
            machine.to_json(),
            command.due_in_ms,
            told(machine.evidence),
        )
        journal = self._coordinator.journal
        try:
            answer = await self._execute(command, lambda: journal.advance(advance))
        except Exception as error:
            _log.warning("the log did not take saga %s: %s", self.gid, error)
            return SaveUnknown(told(f"the transaction log did not answer: {error}"))
        if isinstance(answer, Conflict):
            return Overtaken()
        self._record = answer
        return Saved()
