"""How far a run of the bank is, as its workers tell, for whoever watches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """Something to show on a time line: seconds since the start, what, and whose."""

    at_s: float
    kind: str
    text: str
    slot: int = -1


class Progress:
    """Counts what workers tell, and passes each moment on to the watcher.

    Of a killed worker's last transfers nobody tells, so the shards alone know the end.
    """

    def __init__(self, requested: int, watch: Watch) -> None:
        self.requested = requested
        self.settled_before = 0
        self.settled = 0
        self.kills = 0
        self.recovered = 0
        self.moments: list[Moment] = []
        self._watch = watch
        self._started_s = time.monotonic()
        self._ready_s: float | None = None
        self._last_s = 0.0

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started_s

    @property
    def working_s(self) -> float:
        """Seconds from the first worker that was ready to the last that told of transfers."""
        return 0.0 if self._ready_s is None else max(0.0, self._last_s - self._ready_s)

    @property
    def rate(self) -> float:
        """Transfers settled by the second while workers work."""
        return self.settled / self.working_s if self.working_s else 0.0

    def ready(self) -> None:
        """Note that a worker begins."""
        if self._ready_s is None:
            self._ready_s = self.now_s

    def count(self, settled: int, slot: int) -> None:
        """Count transfers that a worker has settled."""
        self.settled += settled
        self._last_s = self.now_s
        self._watch(Moment(self._last_s, "progress", "", slot), self)

    def tell(self, kind: str, text: str, slot: int = -1) -> None:
        """Keep an event for the time line, and show it."""
        self.kills += kind == "kill"
        self.recovered += kind == "recovered"
        moment = Moment(self.now_s, kind, text, slot)
        self.moments.append(moment)
        self._watch(moment, self)


Watch = Callable[[Moment, Progress], None]
