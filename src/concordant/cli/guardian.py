"""The keeper's end of the pipe to its warden; see warden.py for what it is there for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from concordant.aio.lease import AsyncLease
from concordant.cli.warden import now_ns

_PROGRAM: Final = Path(__file__).with_name("warden.py")
_END_S: Final = 2.0


class Guardian:
    """Starts a warden, feeds it, and dismisses it."""

    def __init__(self, grace_s: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_PROGRAM), repr(grace_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd="/",
            # A terminal's signals and `kill -- -GROUP` must not reach it.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._pipe = self._process.stdin.fileno()
        os.set_blocking(self._pipe, False)

    def watch(self, group: int, lease: AsyncLease) -> None:
        """Name the process group to end when this process dies or the lease runs out."""
        self.extend(lease)
        self._write(f"group {group}\n")

    def extend(self, lease: AsyncLease) -> None:
        """Say how long the lease surely holds by now."""
        # The time first: stopped between the two, this process must not add the pause.
        start_ns = now_ns()
        self._write(f"until {start_ns + int(lease.remaining_s * 1e9)}\n")

    def allow(self, seconds: float) -> None:
        """Give this process so long to end the command by itself."""
        self._write(f"until {now_ns() + int(seconds * 1e9)}\n")

    def dismiss(self) -> None:
        """Send it away: the command is over."""
        self._write("done\n")
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # somebody has stopped it
            self._process.wait()

    def _write(self, text: str) -> None:
        try:
            os.write(self._pipe, text.encode())
        except OSError:
            pass  # it was killed, or is stopped with a full pipe: then nobody watches
