"""What PostgreSQL promises, in one place for all of its ports."""

from __future__ import annotations

from typing import Final

from concordant.drivers.capabilities import Capabilities, Fencing

CAPABILITIES: Final = Capabilities(
    backend="postgresql",
    fencing=Fencing.SAME_TRANSACTION,
    survives_restart=True,
    across_processes=True,
    across_hosts=True,
    detects_dead_waiters=False,
    note=(
        "as durable as the server's synchronous_commit and fsync; a failover to an asynchronous "
        "standby may lose the last leases, but a guard in the same database goes back with them"
    ),
    lanes=2,
    batch_best=64,
)
