"""A lock store around any copy of the lock model, to see what a mistake in it leads to."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

from concordant.drivers.memory.hints import Stream, Streams
from concordant.locking import model
from concordant.locking.operations import Hint, Operation, Result

_numbers = count()


def copy_of_the_model(changes: Iterable[tuple[str, str]]) -> ModuleType:
    """Return a module made of the model's own text, with pieces of it replaced.

    Fails if a piece is not there: then the mistake would not have been planted.
    """
    path = Path(str(model.__file__))
    source = path.read_text("utf-8")
    for old, new in changes:
        assert old in source, f"{path.name} has no {old!r} any more: plant the mistake anew"
        source = source.replace(old, new)
    copy = ModuleType(f"tests.history.copy_of_the_model_{next(_numbers)}")
    # Where dataclasses look for the names in their annotations.
    sys.modules[copy.__name__] = copy
    exec(compile(source, str(path), "exec"), copy.__dict__)
    return copy


class ModelStore:
    """The memory store's shape: a model behind a mutex. Its wall clock is set back at times."""

    def __init__(self, module: ModuleType, seed: int) -> None:
        self._model = module
        self._rng = random.Random(seed)
        self._mutex = threading.Lock()
        self._streams = Streams()
        self._records: dict[str, Any] = {}

    def apply(self, batch: Sequence[Operation]) -> list[Result]:
        """Apply lock operations."""
        results: list[Result] = []
        hints: list[Hint] = []
        with self._mutex:
            for operation in batch:
                record = self._records.get(operation.name) or self._model.LockRecord()
                wall_us = time.time_ns() // 1000 - self._rng.choice([0, 0, 0, 3_600_000_000])
                moment = self._model.Moment(time.monotonic_ns() // 1000, wall_us)
                decision = self._model.decide(record, operation, moment)
                self._records[operation.name] = decision.record
                results.append(decision.result)
                hints += decision.hints
        self._streams.send(hints)
        return results

    def hints(self, client: str) -> Stream:
        """Start to listen."""
        return self._streams.open(client)
