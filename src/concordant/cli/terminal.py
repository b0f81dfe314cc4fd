"""The terminal on stdin, and which process group is in its foreground."""

from __future__ import annotations

import os
from typing import Final

_STDIN: Final = 0


class Terminal:
    """Lends the terminal to a command's process group and takes it back.

    Without a terminal on stdin, or in the background of one, everything here does nothing.
    Whoever takes it back must ignore SIGTTOU, which stops a background process that tries.
    """

    def __init__(self) -> None:
        self._own = os.getpgrp()
        self.present = os.isatty(_STDIN)

    @property
    def ours(self) -> bool:
        """Whether this process's own group is in the foreground."""
        return self.foreground() == self._own

    def foreground(self) -> int:
        """Return the process group in the foreground; 0 if that cannot be told."""
        try:
            return os.tcgetpgrp(_STDIN) if self.present else 0
        except OSError:
            return 0  # the terminal hung up

    def lend(self, group: int) -> None:
        """Put the group into the foreground, if it is ours to give."""
        if self.ours:
            self._set(group)

    def take_back(self, group: int) -> None:
        """Put this process's own group into the foreground again, if that group has it."""
        if self.foreground() == group != 0:
            self._set(self._own)

    def _set(self, group: int) -> None:
        try:
            os.tcsetpgrp(_STDIN, group)
        except OSError:
            pass  # the terminal hung up, or the group has just ended
