"""Clocks, injected wherever time is read, so that tests can own it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol


def _best_local_ns() -> Callable[[], int]:
    """Return the clock of this system that goes on while it is suspended, if it has one.

    CLOCK_MONOTONIC stands still then on Linux, but a lease kept by a server runs on; the
    boot-time clock counts the suspension too.
    """
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        number = getattr(time, name, None)
        if number is not None:
            return partial(time.clock_gettime_ns, number)
    return time.monotonic_ns  # Windows has none of these by name


_local_ns = _best_local_ns()


class Clock(Protocol):
    """What the code may ask about time."""

    def local_ns(self) -> int:
        """Return nanoseconds that never run backwards and never stop, from any origin."""
        ...

    def wall_us(self) -> int:
        """Return microseconds since 1970-01-01 UTC, as this machine believes."""
        ...


class SystemClock:
    """The machine's own clocks; the local one goes on while the machine is suspended."""

    def local_ns(self) -> int:
        """Return boot time (or the closest monotonic clock) in nanoseconds."""
        return _local_ns()

    def wall_us(self) -> int:
        """Return the wall clock in microseconds since the epoch."""
        return time.time_ns() // 1000


class ManualClock:
    """A clock that moves only when told, for tests of time."""

    def __init__(self, start_ns: int = 0, wall_us: int = 1_700_000_000_000_000) -> None:
        self._local_ns = start_ns
        self._wall_us = wall_us

    def local_ns(self) -> int:
        """Return the nanoseconds set so far."""
        return self._local_ns

    def wall_us(self) -> int:
        """Return the wall clock set so far, in microseconds."""
        return self._wall_us

    def advance_s(self, seconds: float) -> None:
        """Move both clocks forward together."""
        self._local_ns += round(seconds * 1e9)
        self._wall_us += round(seconds * 1e6)

    def jump_wall_s(self, seconds: float) -> None:
        """Move only the wall clock, as a correction by an administrator does."""
        self._wall_us += round(seconds * 1e6)


SYSTEM_CLOCK = SystemClock()
