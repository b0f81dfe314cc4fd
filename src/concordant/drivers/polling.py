"""Wait for sockets to become readable, on systems without poll too."""

from __future__ import annotations

import select
from typing import Protocol


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


class Poll:
    """Waits for any of some sockets.

    By `poll` where there is one: `select` takes no descriptor above 1023. On Windows, which has
    `select` alone, descriptors have no such bound.
    """

    def __init__(self, *sockets: _HasFileno | int) -> None:
        self._fds = [each if isinstance(each, int) else each.fileno() for each in sockets]
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            for fd in self._fds:
                self._poll.register(fd, select.POLLIN)

    def ready(self, timeout_s: float) -> list[int]:
        """Return the descriptors that can be read, or have failed, after this long at most."""
        if self._poll is not None:
            return [fd for fd, _ in self._poll.poll(timeout_s * 1000)]
        return select.select(self._fds, (), (), timeout_s)[0]
