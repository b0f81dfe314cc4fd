# Generated from src/concordant/aio/saga.py by tools/unasync.py; do not edit.
"""A saga as its user writes it: named steps, each an action and what compensates it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from concordant.errors import UsageError
from concordant.sync.step import StepContext
from concordant.transactions.saga import Limits
from concordant.transactions.sagarecord import STEPS_MAX, check_name

_Function = Callable[[StepContext], Any]


@dataclass(frozen=True, slots=True)
class SagaStep:
    """One step: what it does, and what undoes that."""

    name: str
    action: _Function
    compensation: _Function


class Saga:
    """Steps that are done in order, or undone in reverse order when one is refused.

    `name` and `version` say what was stored by whom: a process that has crashed left only
    those behind, and another that has registered the same ones goes on. Give a changed saga
    the next version, and keep the old one registered until none of it is unfinished.

    An action that raises StepFailed is refused: it and what came before is compensated. After
    any other exception nobody knows what has happened: it is tried again, `attempts_max`
    times in all, after pauses that double from `pause_first_s` up to `pause_cap_s`, then
    compensated as well. A compensation has as many attempts; then the saga is stuck and waits
    for a person. So functions are called more than once and possibly twice at a time:
    `ctx.local` keeps a database right under that, `ctx.idempotency_key` may serve elsewhere.
    """

    def __init__(
        self,
        name: str,
        version: int = 1,
        *,
        attempts_max: int = 10,
        pause_first_s: float = 0.1,
        pause_cap_s: float = 30.0,
    ) -> None:
        if version < 1 or attempts_max < 1:
            raise UsageError("version and attempts_max are 1 or more")
        if not 0 <= pause_first_s <= pause_cap_s <= 24 * 3600:
            raise UsageError("pauses are 0 or more seconds, the first up to the cap, up to a day")
        self.name = check_name("a saga's name", name)
        self.version = version
        self.limits = Limits(attempts_max, round(pause_first_s * 1000), round(pause_cap_s * 1000))
        self._steps: list[SagaStep] = []
        self._sealed = False

    @property
    def definition(self) -> str:
        """What the log keeps of this definition: its name and version."""
        return f"{self.name}/{self.version}"

    @property
    def steps(self) -> tuple[SagaStep, ...]:
        """The steps in order."""
        return tuple(self._steps)

    @property
    def step_names(self) -> tuple[str, ...]:
        """The steps' names in order."""
        return tuple(step.name for step in self._steps)

    def step(self, name: str, action: _Function, compensation: _Function) -> None:
        """Add a step; its name is 1 to 64 of ``[A-Za-z0-9._-]``, unique in the saga.

        Every step has a compensation, the last one, too: an action whose answer was lost may
        have happened. One that only reads has a compensation that does nothing.
        """
        if self._sealed:
            raise UsageError(f"add the step {name} before the saga {self.definition} is registered")
        if check_name("a step's name", name) in self.step_names:
            raise UsageError(f"the saga {self.definition} has a step {name} already")
        if len(self._steps) == STEPS_MAX:
            raise UsageError(f"a saga has at most {STEPS_MAX} steps")
        self._steps.append(SagaStep(name, action, compensation))

    def seal(self) -> None:
        """Take no more steps, since from now on sagas are stored by them."""
        if not self._steps:
            raise UsageError(f"the saga {self.definition} has no steps")
        self._sealed = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.definition}: {', '.join(self.step_names)}>"
