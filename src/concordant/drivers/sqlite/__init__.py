"""SQLite files as backend: nothing to install, shared by the processes of one machine."""

from __future__ import annotations

import sys

from concordant.drivers.base import (
    AsyncLockStore,
    AsyncParticipant,
    AsyncTransactionLog,
    LockStore,
    Participant,
    TransactionLog,
)
from concordant.drivers.sqlite.options import SqliteOptions
from concordant.drivers.stepport import AsyncBarrier, Barrier
from concordant.drivers.threaded import ThreadedLockStore, ThreadedTransactionLog
from concordant.errors import GuaranteeUnavailable


def lock_store(url: str) -> LockStore:
    """Return the lock store in the file, not yet opened."""
    check_platform()
    from concordant.drivers.sqlite.locks import SqliteLockStore

    return SqliteLockStore(SqliteOptions.parse(url))


def async_lock_store(url: str) -> AsyncLockStore:
    """Return the lock store in the file, not yet opened, on a thread of its own."""
    return ThreadedLockStore(lock_store(url))


def transaction_log(url: str) -> TransactionLog:
    """Return the transaction log in the file, not yet opened."""
    check_platform()
    from concordant.drivers.sqlite.log import SqliteTransactionLog

    return SqliteTransactionLog(SqliteOptions.parse(url))


def async_transaction_log(url: str) -> AsyncTransactionLog:
    """Return the transaction log in the file, not yet opened, on a thread of its own."""
    return ThreadedTransactionLog(transaction_log(url))


def participant(url: str) -> Participant:
    """Return the file as a participant in two-phase commit, not yet opened."""
    check_platform()
    from concordant.drivers.sqlite.manager import SqliteParticipant

    return SqliteParticipant(url)


def async_participant(url: str) -> AsyncParticipant:
    """Return the file as a participant, not yet opened, each branch on a thread of its own."""
    check_platform()
    from concordant.drivers.sqlite.aio import AsyncSqliteParticipant

    return AsyncSqliteParticipant(participant(url))


def barrier(url: str) -> Barrier:
    """Return the file as a database with barriers for saga steps, not yet opened."""
    check_platform()
    from concordant.drivers.sqlite.barriers import SqliteBarrier

    return SqliteBarrier(url)


def async_barrier(url: str) -> AsyncBarrier:
    """Return the file with barriers, not yet opened, each step on a thread of its own."""
    check_platform()
    from concordant.drivers.sqlite.aio import AsyncSqliteBarrier

    return AsyncSqliteBarrier(barrier(url))


def check_platform() -> None:
    """Raise GuaranteeUnavailable where the system lacks what files are shared by."""
    try:
        # Not by the platform's name: Windows is not the only one without.
        from fcntl import flock  # noqa: F401
        from socket import AF_UNIX  # noqa: F401
    except ImportError as error:
        raise GuaranteeUnavailable(
            f"sqlite:// needs flock and Unix sockets, which this system ({sys.platform}) lacks:"
            " use a server (redis://, postgresql://), memory:// within one process, or WSL"
        ) from error
