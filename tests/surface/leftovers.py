"""What a client or a coordinator may leave behind in this process when it was broken off."""

from __future__ import annotations

import gc
import os
import threading
import time

from concordant import AsyncCoordinator, Coordinator
from concordant.drivers import registry
from concordant.transactions.operations import Alive, OwnerStates

# Not a measure of speed: what takes longer to go is taken for left.
_BOUND_S = 10.0


class Leftovers:
    """The threads and open files since this was made."""

    def __init__(self) -> None:
        gc.collect()
        self._threads = set(threading.enumerate())
        self._files = _files()

    def threads(self) -> list[str]:
        """Return the names of the library's threads that are still there."""
        return [
            each.name
            for each in threading.enumerate()
            # One that Ctrl-C has kept from beginning is listed by Python for ever.
            if each not in self._threads and each.is_alive() and each.name.startswith("concordant")
        ]

    def files(self) -> list[str]:
        """Return what is still open: files and sockets."""
        return sorted(f"{number} {target}" for number, target in _files() - self._files)

    def none(self, where: object) -> None:
        """See that nothing is left, though the last thread may take a moment to end."""
        # What traced the frames keeps them in a cycle, and they what they worked on.
        gc.collect(1)
        end = time.monotonic() + _BOUND_S
        while (left := self.threads() + self.files()) and time.monotonic() < end:
            time.sleep(0.002)
            if time.monotonic() > end - _BOUND_S + 0.1:
                gc.collect()
        assert not left, f"{where}: {left}"


def _files() -> set[tuple[str, str]]:
    """Return the open files by number; one that was opened anew counts as another."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
        except FileNotFoundError:
            continue  # the listing itself
    return found


def epochs_running(url: str, coordinator: Coordinator | AsyncCoordinator) -> frozenset[int]:
    """Return which of the coordinator's first epochs its log takes for running."""
    log = registry.transaction_log(url)
    owner = coordinator.ownership.owner
    [alive] = log.apply([OwnerStates(tuple((owner, epoch) for epoch in (1, 2, 3)))])
    log.close()
    assert isinstance(alive, Alive)
    return frozenset(epoch for _, epoch in alive.owners)
