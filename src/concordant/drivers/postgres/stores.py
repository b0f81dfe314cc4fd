"""The sync lock store with its hints, which are read by a thread whatever the surface is."""

from __future__ import annotations

from concordant.drivers.base import HintStream
from concordant.drivers.postgres.hints import PostgresHints
from concordant.drivers.postgres.sync.locks import PostgresLockStore


class PostgresLocks(PostgresLockStore):
    """A lock store that can listen."""

    def hints(self, client: str) -> HintStream:
        return PostgresHints(self.options, client)
