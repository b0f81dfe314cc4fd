"""A saga as a pure machine: `step(machine, event)`.

Source: Garcia-Molina, Salem, "Sagas" (1987). Actions run in order; when one is refused, what
may have happened is compensated in reverse order. Two rules make that survive a crash at any
point. *Persist before effect*: an action's answer is stored before the next action starts,
and `aborting` before the first compensation, so that a rerun of an aborting saga only
compensates, though the action that was refused might succeed by now. *Doubt counts as done*:
an action that was started and did not answer is repeated on the way forward and compensated
on the way back; only what is proven un-started is left out, the refused action is not.

The state is what the log holds, or will hold after the Save that is under way. What may
follow what:

========  ======================  ======================================================
state     event                   next state, commands
========  ======================  ======================================================
running   Begun                   running: Act on the first step
running   Answered                running, or committed after the last step: Save
running   Refused, TimedOut       aborting, or aborted if nothing was started: Save
running   Failed, Resumed         running: Save, to try once more; after the last attempt
                                  aborting: Save
aborting  Answered                aborting, or aborted after the first step: Save
aborting  Failed, Resumed         aborting: Save, to try once more; after the last attempt
                                  stuck: Save
both      Unfit                   stuck: Save
both      Saved                   the same: Act or Compensate, after a failure Rest
both      Rested                  the same: Act or Compensate
both,     Retried                 running or aborting, as it was: Save
stuck
both,     SettledByHand           committed or aborted: Save
stuck
stuck,    Saved                   the same: nothing more
final
any       Overtaken, SaveUnknown  left: nothing more here, the log says who goes on
========  ======================  ======================================================
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from concordant.errors import UsageError
from concordant.transactions.operations import SagaState

FORMAT: Final = 1

State = Literal[SagaState, "left"]

StepState = Literal[
    "waiting",  # proven un-started
    "begun",  # may have happened
    "done",  # answered
    "failed",  # refused
    "undone",  # compensated
]
_UNDO: Final = ("begun", "done", "failed")


@dataclass(frozen=True, slots=True)
class Limits:
    """How often a step is tried, and the pauses between: doubled each time, up to the cap."""

    attempts_max: int = 10
    pause_first_ms: int = 100
    pause_cap_ms: int = 30_000

    def pause_ms(self, attempts: int) -> int:
        """Return the pause after so many failed attempts."""
        # The exponent is bounded, since a shift by a million takes a while.
        return min(self.pause_cap_ms, self.pause_first_ms << min(attempts - 1, 40))


# --- events -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begun:
    """The saga was stored just now, by whoever runs it."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The saga was taken over as the log holds it: nobody knows how far the last one came."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The action or compensation that was asked for has happened."""

    result: Any = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The action says no, and will say so again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The action or compensation broke off: it may have happened."""

    trouble: str


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The saga's time is over; `started` if the action that was asked for may be under way."""

    started: bool


@dataclass(frozen=True, slots=True)
class Unfit:
    """The definition is not the one that the saga was begun with."""

    trouble: str


@dataclass(frozen=True, slots=True)
class Saved:
    """The log holds the machine as it is."""


@dataclass(frozen=True, slots=True)
class Overtaken:
    """Somebody else has the saga now."""

    trouble: str = "somebody else has it now"


@dataclass(frozen=True, slots=True)
class SaveUnknown:
    """The log did not answer, ever so often asked."""

    trouble: str = "the log did not answer"


@dataclass(frozen=True, slots=True)
class Rested:
    """The pause is over."""


@dataclass(frozen=True, slots=True)
class Retried:
    """A person wants the saga to be tried again, now and with all its attempts."""


@dataclass(frozen=True, slots=True)
class SettledByHand:
    """A person has brought the databases to this outcome."""

    state: Literal["committed", "aborted"]
    reason: str


Event = (
    Begun
    | Resumed
    | Answered
    | Refused
    | Failed
    | TimedOut
    | Unfit
    | Saved
    | Overtaken
    | SaveUnknown
    | Rested
    | Retried
    | SettledByHand
)

# --- commands -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Act:
    """Run the action of a step."""

    index: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Compensate:
    """Run the compensation of a step."""

    index: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Save:
    """Store the machine durably, due again after so long should its owner die."""

    due_in_ms: int = 0


@dataclass(frozen=True, slots=True)
class Rest:
    """Let so much time pass before the next attempt."""

    pause_ms: int


Command = Act | Compensate | Save | Rest


@dataclass(frozen=True, slots=True)
class SagaMachine:
    """One saga: where it stands, and what its actions have answered.

    `attempts` counts those of the step at hand that did not answer, `reason` says why it
    aborts, `trouble` what went wrong last. `way` outlives `stuck`.
    """

    state: State
    steps: tuple[StepState, ...]
    results: tuple[Any, ...]
    limits: Limits = field(default_factory=Limits)
    way: Literal["forward", "back"] = "forward"
    attempts: int = 0
    reason: str = ""
    trouble: str = ""
    rest_ms: int = 0

    @classmethod
    def created(cls, steps: int, limits: Limits) -> SagaMachine:
        """Return the machine of a saga as it is stored first."""
        if steps < 1:
            raise ValueError("a saga has at least one step")
        waiting: StepState = "waiting"
        return cls("running", (waiting,) * steps, (None,) * steps, limits)

    @property
    def evidence(self) -> str:
        """What a person should know: why it aborts, and what went wrong last."""
        return "; ".join(filter(None, (self.reason, self.trouble)))

    @property
    def at_hand(self) -> int | None:
        """The index of the step to be done or undone next, None if there is none."""
        if self.way == "forward":
            return next((i for i, state in enumerate(self.steps) if state != "done"), None)
        return next((i for i, _ in self._to_undo()), None)

    def _to_undo(self) -> list[tuple[int, StepState]]:
        return [each for each in reversed(list(enumerate(self.steps))) if each[1] in _UNDO]

    def with_step(self, index: int, state: StepState) -> SagaMachine:
        """Return the machine with one step in another state."""
        return replace(self, steps=(*self.steps[:index], state, *self.steps[index + 1 :]))

    # --- as the log keeps it --------------------------------------------------------------

    def to_json(self) -> str:
        """Return what the log keeps beside the state."""
        kept = {
            "format": FORMAT,
            "way": self.way,
            "steps": self.steps,
            "results": self.results,
            "attempts": self.attempts,
            "reason": self.reason,
        }
        return json.dumps(kept, separators=(",", ":"))

    @classmethod
    def from_json(cls, state: SagaState, text: str, steps: int, limits: Limits) -> SagaMachine:
        """Return the machine as the log has it; an empty text is a saga just created.

        Raises UsageError for what a newer version has written.
        """
        if not text:
            return replace(cls.created(steps, limits), state=state)
        kept = json.loads(text)
        if kept["format"] != FORMAT:
            raise UsageError(
                f"the saga was stored by another concordant (format {kept['format']}, this one"
                f" knows {FORMAT}); upgrade this one"
            )
        return cls(
            state,
            tuple(kept["steps"]),
            tuple(kept["results"]),
            limits,
            kept["way"],
            kept["attempts"],
            kept["reason"],
        )


Step = tuple[SagaMachine, tuple[Command, ...]]


def step(machine: SagaMachine, event: Event) -> Step:
    """Return the next machine and the command to run, if any.

    Raises ValueError for an event that cannot come in this state.
    """
    match machine.state, event:
        case _, Overtaken(trouble) | SaveUnknown(trouble):
            return replace(machine, state="left", trouble=trouble), ()
        case (("committed" | "aborted" | "stuck"), Saved()):
            return machine, ()
        case (("running" | "aborting"), Saved()):
            return (machine, (Rest(machine.rest_ms),)) if machine.rest_ms else _go(machine)
        case ("running", Begun()) | (("running" | "aborting"), Rested()):
            return _go(machine)
        case (("running" | "aborting"), Answered(result)):
            return _answered(machine, result)
        case "running", Refused(reason):
            return _abort(machine.with_step(_at_hand(machine), "failed"), reason)
        case "running", TimedOut(started):
            return _timed_out(machine, started)
        case (("running" | "aborting"), Failed(trouble)):
            return _once_more(machine, trouble, machine.limits.pause_ms(machine.attempts + 1))
        case (("running" | "aborting"), Resumed()):
            begun = machine.with_step(_at_hand(machine), "begun")
            machine = begun if machine.state == "running" else machine
            return _once_more(machine, "whoever ran it died, or lost its log", 0)
        case (("running" | "aborting"), Unfit(trouble)):
            return _save(replace(machine, state="stuck", trouble=trouble))
        case (("running" | "aborting" | "stuck"), Retried()):
            back: State = "running" if machine.way == "forward" else "aborting"
            return _save(replace(machine, state=back, attempts=0, trouble="", rest_ms=0))
        case (("running" | "aborting" | "stuck"), SettledByHand(state, reason)):
            return _save(replace(machine, state=state, reason=reason, trouble=""))
    raise ValueError(f"{event} cannot come in the state {machine.state}")


def _at_hand(machine: SagaMachine) -> int:
    index = machine.at_hand
    if index is None:
        raise ValueError(f"no step is left in the state {machine.state}")
    return index


def _save(machine: SagaMachine) -> Step:
    return machine, (Save(machine.rest_ms),)


def _go(machine: SagaMachine) -> Step:
    index = _at_hand(machine)
    machine = replace(machine, rest_ms=0)
    if machine.state == "running":
        return machine.with_step(index, "begun"), (Act(index, machine.attempts + 1),)
    return machine, (Compensate(index, machine.attempts + 1),)


def _answered(machine: SagaMachine, result: Any) -> Step:
    index = _at_hand(machine)
    forward = machine.way == "forward"
    machine = replace(machine.with_step(index, "done" if forward else "undone"), attempts=0)
    if forward:
        results = (*machine.results[:index], result, *machine.results[index + 1 :])
        machine = replace(machine, results=results)
    end: State = "committed" if forward else "aborted"
    state = machine.state if machine.at_hand is not None else end
    return _save(replace(machine, state=state, trouble="", rest_ms=0))


def _timed_out(machine: SagaMachine, started: bool) -> Step:
    # Without an attempt before this one, an action that was not started now never was.
    if not started and machine.attempts == 0:
        machine = machine.with_step(_at_hand(machine), "waiting")
    return _abort(machine, "its time was over")


def _abort(machine: SagaMachine, reason: str) -> Step:
    machine = replace(machine, way="back", attempts=0, reason=reason, trouble="", rest_ms=0)
    state: State = "aborting" if machine.at_hand is not None else "aborted"
    return _save(replace(machine, state=state))


def _once_more(machine: SagaMachine, trouble: str, rest_ms: int) -> Step:
    """Count an attempt that did not answer, in the log, so that no crash forgets it."""
    attempts = machine.attempts + 1
    if attempts < machine.limits.attempts_max:
        return _save(replace(machine, attempts=attempts, trouble=trouble, rest_ms=rest_ms))
    trouble = f"{attempts} attempts failed, the last: {trouble}"
    if machine.state == "running":
        return _abort(machine, trouble)
    return _save(replace(machine, state="stuck", attempts=attempts, trouble=trouble, rest_ms=0))
