"""One that contends for a lock as a user's program does: by `Client`, and `with`."""

from __future__ import annotations

import random
import time

from concordant import BackendUnavailable, Client, LockLost, LockTimeout, OutcomeUnknown
from concordant.sync.lease import Lease
from tests.history.events import Recorder, now_ns
from tests.history.holder import Habits, Holder, Used


class User(Holder[Lease]):
    """Leaves the renewals and the waiting to its client, and never looks whether it lost."""

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        register: Used,
        habits: Habits,
        rng: random.Random,
    ) -> None:
        super().__init__(recorder, register, habits, rng)
        self.client = client

    def run(self, until_ns: int) -> None:
        """Acquire, use and release until then, over breaks of the store."""
        while now_ns() < until_ns:
            try:
                self._round(until_ns)
            except (BackendUnavailable, OutcomeUnknown):
                time.sleep(0.02)
            except (LockTimeout, LockLost):
                # It has been careless all the while; from here on it believes it.
                continue

    def _round(self, until_ns: int) -> None:
        habits = self.habits
        patience_s = max(0.0, (until_ns - now_ns()) / 1e9)
        if self.rng.random() < habits.give_up_chance:
            patience_s = min(patience_s, self.rng.random() * habits.pause_s)
        lock = self.client.lock(habits.lock, ttl_s=habits.ttl_ms / 1000, timeout_s=patience_s)
        asked_ns = now_ns()
        with lock as lease:
            self.granted(lease, asked_ns)
            self.use(lease)

    def believes(self, lease: Lease, moment_ns: int) -> bool:
        """Tell whether the lease's own deadline lies ahead, by what users are told."""
        try:
            lease.check()
        except LockLost:
            return False
        return True
