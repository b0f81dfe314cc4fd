"""What a history is made of: JSON lines that each process writes of what it saw.

All times are nanoseconds of CLOCK_MONOTONIC, which the processes of one machine share.

=========  ==================================================================================
kind       meaning, and fields besides `lock`, `owner`, `fence`
=========  ==================================================================================
grant      the store granted at some moment from `asked_ns` (the last request that was not
           answered by this grant yet was sent, or the granting one) to `known_ns` (the reply
           came); `permits` of `capacity`
held       the grant still stood at `at_ns`: the store said so to a request sent then, or
           the owner's local deadline lay ahead
end        by `at_ns` the store had said that the grant is over
register   an answer of the guarded register: `op` (unique), `what` (read or write), `value`,
           `accepted`, `asked_ns`, `known_ns`
journal    what the register itself has accepted: `seq`, `op`, `what`, `value`, `base`
=========  ==================================================================================
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Event = dict[str, Any]


def now_ns() -> int:
    """Return the moment, on the clock that all processes share."""
    return time.monotonic_ns()


class Recorder:
    """Appends events to a file; what was recorded survives the death of the process."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __call__(self, kind: str, lock: str, owner: str, fence: int, **more: Any) -> None:
        """Record one event with one write, so that a kill leaves whole lines."""
        event = {"kind": kind, "lock": lock, "owner": owner, "fence": fence, **more}
        os.write(self._fd, (json.dumps(event) + "\n").encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def read(paths: Iterable[Path]) -> list[Event]:
    """Return the events of several files; a line that a kill has torn is left out."""
    events: list[Event] = []
    for path in paths:
        lines = path.read_text("utf-8").split("\n")
        events += [json.loads(line) for line in lines[:-1]]
    return events
