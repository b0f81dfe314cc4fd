"""A waiter that is killed between its hint and its confirmation holds nobody up for long."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from concordant import Client
from concordant.locking import limits
from concordant.locking.names import new_client, owner_id
from tests.provision.backend import Backend
from tests.provision.backends import params
from tests.surface.sync.standing import holders, until_waiting, waiters
from tests.surface.together import Background

ROOT = Path(__file__).resolve().parents[2]

_WAITER = """
import os, sys
from concordant.drivers import registry
from concordant.locking.operations import Acquire
url, client, owner = sys.argv[1:]
store = registry.lock_store(url)
stream = store.hints(client)
store.apply([Acquire("a", owner, 30_000, wait=True)])
for _ in range(600):
    if any(hint.owner == owner for hint in stream.get(0.1)):
        os._exit(9)
"""


def across_processes() -> list[object]:
    return [p for p in params("lock_store") if p.values[0].promises.across_processes]


@pytest.mark.parametrize("lock_backend", across_processes())
@pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_next_in_line_goes_on(lock_backend: Backend, lock_url: str, number: int) -> None:
    with Client(lock_url) as holder, Client(lock_url) as client:
        held = holder.lock("a").acquire()
        doomed = []
        for place in range(number):
            name = new_client()
            command = [sys.executable, "-c", _WAITER, lock_url, name, owner_id(name, 1)]
            doomed.append(subprocess.Popen(command, cwd=ROOT))
            until_waiting(holder, "a", place + 1)
        waiting = Background(client.lock("a", ttl_s=60).acquire)
        until_waiting(holder, "a", number + 1)
        begun = time.monotonic()
        held.release()
        lease = waiting.result()
        took_s = time.monotonic() - begun
        # Each of them was told that the lock is its own, and died with that.
        assert [each.wait(10) for each in doomed] == [9] * number
        assert holders(client, "a") == [lease.owner]
        assert waiters(client, "a") == []
        # A bound of the protocol, not a measure of speed; four times its value.
        assert took_s < 4 * number * limits.CONFIRM_MS / 1000
        assert lease.fence > held.fence + number - 1
        lease.release()
