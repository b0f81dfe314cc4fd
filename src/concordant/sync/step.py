# Generated from src/concordant/aio/step.py by tools/unasync.py; do not edit.
"""What a saga's action or compensation is given, and how its answer is read."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from concordant._bridge.sync import Trace, settle
from concordant.drivers.stepport import Barrier, StepWork
from concordant.errors import GuaranteeUnavailable, StepFailed, UsageError
from concordant.transactions.barrier import Op
from concordant.transactions.sagarecord import RESULT_BYTES_MAX, as_json, told

_log = logging.getLogger("concordant.transactions")

_UNSET: Final = object()


class Misuse(UsageError):
    """The step's function is written in a way that trying again does not mend."""


class Skipped(BaseException):
    """Leaves a step's function at its barrier; never seen outside of the saga's shell.

    Not an Exception, so that no handler in the function takes it for one of its own.
    """


class StepContext:
    """What a step's function is given.

    `gid` and `step` name the call, `attempt` counts it from 1. `payload` is the saga's,
    `results` those of the steps done before by name; a compensation finds the result of its
    own action there, too, unless that never answered. `idempotency_key` is the same for
    every attempt at this step in this direction, for services that take such a key.

    `result`, set inside of `local`, is stored with the work and is what the step answers, a
    repeated call of it as well. Without `local` the function's return value is.
    """

    def __init__(
        self,
        gid: str,
        step: str,
        op: Op,
        attempt: int,
        payload: Any,
        results: Mapping[str, Any],
        barrier: Callable[[str], Barrier],
    ) -> None:
        self.gid = gid
        self.step = step
        self.attempt = attempt
        self.payload = payload
        self.results = dict(results)
        self.idempotency_key = f"{gid}/{step}/{op}"
        self.result: Any = _UNSET
        self._op = op
        self._barrier = barrier
        self._local: Local | None = None

    def local(self, url: str) -> Local:
        """Return the database's connection, to be entered with `with`, past the barrier.

        The barrier's row is written in the same transaction, which commits at the end of the
        body and rolls back if that raises; StepFailed rolls back too, and is stored. What was
        done before is not done again: the body is left out, and so is all that follows it in
        the function, which therefore should be its end. At most one database a call.
        """
        if self._local is not None:
            raise Misuse(f"{self} has used local() before; one step changes one database")
        self._local = Local(self, url)
        return self._local

    def run(self, function: Callable[[StepContext], Any]) -> Any:
        """Call the step's function with this context and return what it answers.

        Raises StepFailed for a refusal, and whatever else the function raises.
        """
        returned = None
        try:
            returned = function(self)
        except Skipped:
            pass
        except BaseExceptionGroup as group:
            # The function may have entered `local` in a task of a group.
            if group.subgroup(Skipped) is None:
                raise
        finally:
            if self._local is not None:
                self._local.abandon()
        if self._local is not None:
            return self._local.answer(returned)
        result = returned if self.result is _UNSET else self.result
        return json.loads(self._as_json(result))

    def _as_json(self, result: Any) -> str:
        try:
            return as_json(f"the result of {self}", result, RESULT_BYTES_MAX)
        except UsageError as error:
            raise Misuse(str(error)) from None

    def _result_json(self) -> str:
        return self._as_json(None if self.result is _UNSET else self.result)

    def __repr__(self) -> str:
        return f"<the {self._op} of step {self.step} of saga {self.gid}, attempt {self.attempt}>"

    def __str__(self) -> str:
        return f"the {self._op} of {self.step}"


class Local:
    """One database under a step: a transaction that begins with the barrier's row."""

    def __init__(self, context: StepContext, url: str) -> None:
        self._context = context
        self._url = url
        self._work: StepWork | None = None
        self._stored: str | None = None
        self._refusal: str | None = None

    def __enter__(self) -> Any:
        context = self._context
        if self._work is not None:
            raise Misuse(f"{context} has entered its local() before")
        try:
            barrier = context._barrier(self._url)
        except (GuaranteeUnavailable, UsageError) as error:
            raise Misuse(str(error)) from error
        self._work = work = barrier.enter(context.gid, context.step, context._op)
        if work.ruling == "run":
            return work.connection
        _log.info("%s of %s: the barrier says %s", context, context.gid, work.ruling)
        if work.ruling == "refuse":
            self._refusal = work.stored
        else:
            self._stored = work.stored or "null"
        raise Skipped

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: Trace
    ) -> None:
        work = self._work
        assert work is not None
        if exc is None:
            try:
                text = self._context._result_json()
            except BaseException:
                settle(work.abandon)
                raise
            settle(work.commit, text)
            self._stored = text
        elif isinstance(exc, StepFailed) and self._context._op == "action":
            reason = told(str(exc))
            settle(work.refuse, reason)
            self._refusal = reason
        else:
            settle(work.abandon)

    def abandon(self) -> None:
        """Roll back what the function has begun and did not leave, as after an interruption."""
        if self._work is not None and self._stored is None and self._refusal is None:
            settle(self._work.abandon)

    def answer(self, returned: Any) -> Any:
        """Return what the database holds of the step, whatever the function made of it."""
        if self._refusal is not None:
            raise StepFailed(self._refusal)
        if self._stored is None:
            raise Misuse(
                f"{self._context} went on after its local work was rolled back; let the exception"
                " leave the function"
            )
        if self._context._op == "compensation":
            return None
        result = json.loads(self._stored)
        passed = self._work is not None and self._work.ruling == "run"
        if passed and returned is not None and returned != result:
            raise Misuse(
                f"{self._context} returned what is not stored with its work; set ctx.result inside"
                " of local() instead"
            )
        return result
