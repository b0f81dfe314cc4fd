"""Ctrl-C at a chosen place of the library's own code, in the thread that calls."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import concordant

_ROOT = Path(concordant.__file__).parent
# What runs in the user's thread between the call and the store.
_PARTS = tuple(str(_ROOT / part) for part in ("sync", "_bridge", "session"))

# Python may deliver Ctrl-C when a function has begun and nothing of it has run. Where that is
# the exit of a body, no code can catch it there: closing the client gives the lock back.
_BEYOND_REACH = {"__exit__"}


class _Interruption:
    """A trace function that raises KeyboardInterrupt at the n-th step."""

    def __init__(self, at: int) -> None:
        self.steps = 0
        self.where = ""
        self._at = at

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(_PARTS):
            return None
        if code.co_name not in _BEYOND_REACH:
            self._step(frame)
        before = frame.f_lineno

        def trace(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal before
            if event == "line":
                if not _leaves_a_with(frame, before):
                    self._step(frame)
                before = frame.f_lineno
            return trace

        return trace

    def _step(self, frame: FrameType) -> None:
        self.steps += 1
        if self.steps == self._at:
            self.where = f"{frame.f_code.co_qualname} in line {frame.f_lineno}"
            if "DBG" in __import__("os").environ: print(self.where, flush=True)
            raise KeyboardInterrupt


def _leaves_a_with(frame: FrameType, before: int) -> bool:
    """Tell whether the step is the way out of a `with`.

    Python delivers Ctrl-C after the last call in its body, where `with` still holds, and after
    its exit, but not between the two, where a tracer could strike.
    """
    if frame.f_lineno >= before:
        return False
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return line.lstrip().startswith("with ")


def interrupted_at(at: int, call: Callable[[], object]) -> str:
    """Make the call, interrupted at its n-th step; return where, or "" if it is shorter.

    Raises AssertionError if the interruption was swallowed.
    """
    interruption = _Interruption(at)
    before = sys.gettrace()
    sys.settrace(interruption)
    try:
        call()
    except KeyboardInterrupt:
        assert interruption.where, "an interruption of somebody else's"
        return interruption.where
    finally:
        sys.settrace(before)
    assert not interruption.where, f"swallowed: {interruption.where}"
    return ""
