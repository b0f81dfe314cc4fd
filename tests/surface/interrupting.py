"""Ctrl-C at a chosen place of the library's own code, in the thread that calls.

Python delivers a signal when a function begins, after a call of something written in C, and at
the jump back of a loop, and nowhere else. All of these places in the library are counted, so a
test can go through them one by one.
"""

from __future__ import annotations

import dis
import inspect
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import concordant
from tests.provision.collector import collector_at_rest

_ROOT = Path(concordant.__file__).parent
# What runs in the user's thread between the call and the store.
PARTS = ("sync", "_bridge", "session")
# And the library's use of threads, as far as Python itself is proof against Ctrl-C there.
THREADING = threading.__file__

# Where the exit of a body begins, no code of the library can catch an interruption: closing the
# client gives the lock back.
_BEYOND_REACH = {
    "Client.__exit__",
    "Coordinator.__exit__",
    "_Bodies.__exit__",
    "Lease.release",
    "Leases.release",
    "Transaction.__exit__",
}
# Python's own, where Ctrl-C comes out as another error.
_BEYOND_REACH |= {"Condition.wait", "Condition._release_save", "Condition._acquire_restore"}


class _Interruption:
    """A trace function that raises KeyboardInterrupt at the n-th place."""

    def __init__(self, at: int, parts: tuple[str, ...]) -> None:
        self.where = ""
        self.passed: list[str] = []
        self._at = at
        self._parts = tuple(str(_ROOT / part) for part in parts)
        # Frames that have called something written in Python since their last step.
        self._called: set[FrameType] = set()

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        # A function written in Python returns to its caller without a look at signals; not so
        # one that is called through its class.
        if code.co_name != "__init__" and frame.f_back is not None:
            self._called.add(frame.f_back)
        if not code.co_filename.startswith(self._parts):
            return None
        # What is raised in a generator that is being thrown away goes nowhere.
        if code.co_flags & inspect.CO_GENERATOR:
            return None
        if code.co_qualname not in _BEYOND_REACH:
            self._step(frame)
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        last = -1

        def trace(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal last
            if event == "opcode":
                inlined = frame in self._called
                self._called.discard(frame)
                reached = not inlined and code.co_qualname not in _BEYOND_REACH
                if reached and _looks_for_signals(code, last, frame.f_lasti):
                    self._step(frame)
                last = frame.f_lasti
            return trace

        return trace

    def _step(self, frame: FrameType) -> None:
        self.passed.append(frame.f_code.co_qualname)
        if len(self.passed) == self._at:
            self.where = f"{frame.f_code.co_qualname}, line {frame.f_lineno}, {frame.f_lasti}"
            raise KeyboardInterrupt


@cache
def _names(code: CodeType) -> dict[int, str]:
    return {step.offset: step.opname for step in dis.get_instructions(code)}


@cache
def _looks_for_signals(code: CodeType, done: int, following: int) -> bool:
    name = _names(code).get(done, "")
    if name == "PRECALL" and _names(code)[following] == "CALL":
        return False  # one call in two steps
    if not name.startswith(("PRECALL", "CALL")) and "JUMP_BACKWARD" not in name:
        return False
    # The tracer strikes one step too late, which must not be out of a `try` or a `with`.
    return _handler(code, done) == _handler(code, following)


def _handler(code: CodeType, offset: int) -> int | None:
    table = dis._parse_exception_table(code)  # type: ignore[attr-defined]
    for entry in table:
        if entry.start <= offset < entry.end:
            return entry.target
    return None


def interrupted_at(at: int, call: Callable[[], object], parts: tuple[str, ...] = PARTS) -> str:
    """Make the call, interrupted at its n-th place; return where, or "" if it has fewer.

    Counts the places in these parts of the library. Raises AssertionError if the interruption was
    swallowed.
    """
    interruption = _Interruption(at, parts)
    before = sys.gettrace()
    with collector_at_rest():
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


def places_of(call: Callable[[], object], parts: tuple[str, ...] = PARTS) -> list[str]:
    """Make the call and return in which functions its places are, in order."""
    interruption = _Interruption(0, parts)
    before = sys.gettrace()
    sys.settrace(interruption)
    try:
        call()
    finally:
        sys.settrace(before)
    return interruption.passed
