"""Python's collector of cycles, where a test must not be met by it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Let no cycle be collected in the body.

    The collector comes when so many objects were made, by whomever. What it throws away may call
    code in Python (a destructor, the callback of a weak reference), and an interruption of that
    reaches nobody: Python reports it as unraisable, and the test has struck nothing of its own.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
