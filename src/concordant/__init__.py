"""Consistency for services that run as many processes on many machines.

Placement (`HashRing`), locks (`Client`) and transactions (`Coordinator`), each in a sync and
an async form, on stores that are named by a URL.
"""

from concordant.aio.client import AsyncClient
from concordant.aio.coordinator import AsyncCoordinator
from concordant.errors import (
    AlreadyDecided,
    BackendUnavailable,
    ConcordantError,
    GuaranteeUnavailable,
    HeuristicOutcome,
    LockLost,
    LockTimeout,
    OutcomeUnknown,
    StaleFence,
    TransactionAborted,
    TransactionStuck,
    UsageError,
)
from concordant.placement import HashRing, Node
from concordant.sync.client import Client
from concordant.sync.coordinator import Coordinator

__all__ = [
    "HashRing",
    "Node",
    "AsyncClient",
    "Client",
    "AsyncCoordinator",
    "Coordinator",
    "AlreadyDecided",
    "BackendUnavailable",
    "ConcordantError",
    "GuaranteeUnavailable",
    "HeuristicOutcome",
    "LockLost",
    "LockTimeout",
    "OutcomeUnknown",
    "StaleFence",
    "TransactionAborted",
    "TransactionStuck",
    "UsageError",
]
