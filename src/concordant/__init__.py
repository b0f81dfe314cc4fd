"""Consistency for services that run as many processes on many machines.

Placement (`HashRing`), locks (`Client`) and transactions (`Coordinator`), each in a sync and
an async form, on stores that are named by a URL.
"""

from concordant.aio.client import AsyncClient
from concordant.aio.coordinator import AsyncCoordinator
from concordant.aio.saga import AsyncSaga
from concordant.aio.step import AsyncStepContext
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
    StepFailed,
    TransactionAborted,
    TransactionStuck,
    UsageError,
)
from concordant.placement import HashRing, Node
from concordant.sync.client import Client
from concordant.sync.coordinator import Coordinator
from concordant.sync.saga import Saga
from concordant.sync.step import StepContext
from concordant.transactions.sagarecord import SagaOutcome

__all__ = [
    "HashRing",
    "Node",
    "AsyncClient",
    "Client",
    "AsyncCoordinator",
    "Coordinator",
    "AsyncSaga",
    "Saga",
    "SagaOutcome",
    "AsyncStepContext",
    "StepContext",
    "AlreadyDecided",
    "BackendUnavailable",
    "ConcordantError",
    "GuaranteeUnavailable",
    "HeuristicOutcome",
    "LockLost",
    "LockTimeout",
    "OutcomeUnknown",
    "StaleFence",
    "StepFailed",
    "TransactionAborted",
    "TransactionStuck",
    "UsageError",
]
