"""Sagas under faults that nobody has thought of: whatever is lost, all or nothing, and once."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from concordant import (
    Coordinator,
    OutcomeUnknown,
    Saga,
    StepContext,
    StepFailed,
    TransactionStuck,
)
from concordant.drivers import registry
from concordant.errors import BackendUnavailable
from concordant.transactions import saga as sg

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.one_of(
    st.builds(sg.Answered, JSON),
    st.builds(sg.Refused, st.text()),
    st.builds(sg.Failed, st.text()),
    st.builds(sg.TimedOut, st.booleans()),
    st.sampled_from([sg.Begun(), sg.Resumed(), sg.Saved(), sg.Rested(), sg.Retried()]),
)


@given(st.integers(1, 5), st.integers(1, 4), st.lists(EVENTS, max_size=40))
def test_progress_comes_back_from_the_log_as_it_was(
    steps: int, attempts_max: int, events: list[sg.Event]
) -> None:
    limits = sg.Limits(attempts_max, 10, 50)
    machine = sg.SagaMachine.created(steps, limits)
    for event in events:
        with suppress(ValueError):  # the event cannot come in this state
            machine, _ = sg.step(machine, event)
        assert machine.state != "left"
        kept = machine.to_json()
        loaded = sg.SagaMachine.from_json(machine.state, kept, steps, limits)
        assert loaded.to_json() == kept
        assert (loaded.state, loaded.at_hand) == (machine.state, machine.at_hand)
        assert machine.attempts <= attempts_max


# --- the whole of it, on real stores ------------------------------------------------------

_numbers = count()

STEPS = 3
AMOUNT = 10

# What befalls the n-th command: its request is lost, or its reply is.
FAULTS = st.dictionaries(st.integers(0, 25), st.sampled_from(["refused", "lost"]), max_size=8)
# What the n-th call of a function does: say no, break off before its work or after it.
MISHAPS = st.dictionaries(
    st.integers(0, 15), st.sampled_from(["no", "before", "inside", "after"]), max_size=6
)


class World:
    """Three files with one balance each, and a saga that takes something from each."""

    def __init__(self, folder: Path, faults: dict[int, str], mishaps: dict[int, str]) -> None:
        self.log = f"memory://saga-property-{next(_numbers)}"
        self.files = [folder / f"{number}.db" for number in range(STEPS)]
        self._faults = faults
        self._mishaps = mishaps
        self._commands = count()
        self._calls = count()
        for file in self.files:
            with closing(sqlite3.connect(file)) as plain, plain:
                plain.execute("CREATE TABLE balance(n INTEGER)")
                plain.execute("INSERT INTO balance VALUES (100)")

    def saga(self) -> Saga:
        """Return the definition; its pauses are none."""
        saga = Saga("spend", attempts_max=4, pause_first_s=0, pause_cap_s=0)
        for number, file in enumerate(self.files):
            saga.step(f"s{number}", self._step(file, -AMOUNT), self._step(file, AMOUNT))
        return saga

    def _step(self, file: Path, amount: int) -> Callable[[StepContext], None]:
        def step(ctx: StepContext) -> None:
            mishap = self._mishaps.get(next(self._calls), "")
            if mishap == "before":
                raise RuntimeError(mishap)
            with ctx.local(f"sqlite://{file}") as connection:
                connection.execute("UPDATE balance SET n = n + ?", (amount,))
                if mishap == "no":
                    raise StepFailed("no")
                if mishap == "inside":
                    raise RuntimeError(mishap)
            if mishap == "after":
                raise RuntimeError(mishap)

        return step

    def execute(self, machine: str, state: str, command: object, action: Any) -> Any:
        """Run a command, unless it is to be struck."""
        fault = self._faults.get(next(self._commands), "")
        if fault == "refused":
            raise BackendUnavailable("refused by the test")
        value = action()
        if fault:
            raise OutcomeUnknown("lost by the test")
        return value

    def coordinator(self) -> Coordinator:
        """Return a coordinator that meets the faults that are left."""
        return Coordinator(
            self.log, owner_ttl_s=30.0, recover_every_s=3600.0, executor=self.execute
        )

    def balances(self) -> set[int]:
        """Return the distinct balances of the files."""
        found = set()
        for file in self.files:
            with closing(sqlite3.connect(file)) as plain:
                found.add(plain.execute("SELECT n FROM balance").fetchone()[0])
        return found


def finish(world: World, saga: Saga) -> str:
    """Call again and again, each time in another process as it were, until it is known."""
    lost = (BackendUnavailable, OutcomeUnknown)
    for _ in range(30):
        with world.coordinator() as coordinator:
            coordinator.register(saga)
            with suppress(*lost):
                coordinator.recover()
            for status in coordinator.sagas():
                if status.state == "stuck":
                    coordinator.retry(status.gid)
            with suppress(*lost):
                coordinator.recover()
            with suppress(*lost, TransactionStuck):
                return coordinator.run(saga, None, gid="g-1").state
    raise AssertionError("it never came to its end")


@settings(max_examples=25, deadline=None)
@given(FAULTS, MISHAPS)
def test_whatever_is_lost_it_happens_wholly_or_not_at_all(
    faults: dict[int, str], mishaps: dict[int, str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), faults, mishaps)
        saga = world.saga()
        with closing(registry.transaction_log(world.log)):
            state = finish(world, saga)
            expected = {100 - AMOUNT} if state == "committed" else {100}
            assert world.balances() == expected
            # A gid that has its outcome keeps it, whoever asks.
            faults.clear()
            with world.coordinator() as coordinator:
                again = world.saga()
                coordinator.register(again)
                assert coordinator.run(again, None, gid="g-1").state == state
            assert world.balances() == expected
