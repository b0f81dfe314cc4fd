"""PostgreSQL: lease rows for locks, PREPARE TRANSACTION for transactions, guards for both."""

from concordant.drivers.base import (
    AsyncLockStore,
    AsyncParticipant,
    AsyncTransactionLog,
    LockStore,
    Participant,
    TransactionLog,
)
from concordant.drivers.postgres.aio.barrier import AsyncPostgresBarrier
from concordant.drivers.postgres.aio.locks import AsyncPostgresLockStore
from concordant.drivers.postgres.aio.log import AsyncPostgresLog
from concordant.drivers.postgres.aio.participant import AsyncPostgresParticipant
from concordant.drivers.postgres.options import PostgresOptions
from concordant.drivers.postgres.stores import PostgresLocks
from concordant.drivers.postgres.sync.barrier import PostgresBarrier
from concordant.drivers.postgres.sync.log import PostgresLog
from concordant.drivers.postgres.sync.participant import PostgresParticipant
from concordant.drivers.stepport import AsyncBarrier, Barrier


def participant(url: str) -> Participant:
    """Return the database as a participant, not yet connected."""
    return PostgresParticipant(PostgresOptions.parse(url))


def async_participant(url: str) -> AsyncParticipant:
    """Return the database as a participant, not yet connected."""
    return AsyncPostgresParticipant(PostgresOptions.parse(url))


def transaction_log(url: str) -> TransactionLog:
    """Return the transaction log in the database, not yet connected."""
    return PostgresLog(PostgresOptions.parse(url))


def async_transaction_log(url: str) -> AsyncTransactionLog:
    """Return the transaction log in the database, not yet connected."""
    return AsyncPostgresLog(PostgresOptions.parse(url))


def lock_store(url: str) -> LockStore:
    """Return the lock store in the database, not yet connected."""
    return PostgresLocks(PostgresOptions.parse(url))


def async_lock_store(url: str) -> AsyncLockStore:
    """Return the lock store in the database, not yet connected."""
    return AsyncPostgresLockStore(PostgresOptions.parse(url))


def barrier(url: str) -> Barrier:
    """Return the database with barriers for saga steps, not yet connected."""
    return PostgresBarrier(PostgresOptions.parse(url))


def async_barrier(url: str) -> AsyncBarrier:
    """Return the database with barriers for saga steps, not yet connected."""
    return AsyncPostgresBarrier(PostgresOptions.parse(url))
