"""Which process this is: kept up to date over forks, so that nobody need ask the kernel."""

from __future__ import annotations

import os

pid = os.getpid()


def _in_child() -> None:
    global pid
    pid = os.getpid()


if hasattr(os, "register_at_fork"):  # else nothing forks, as on Windows
    os.register_at_fork(after_in_child=_in_child)
