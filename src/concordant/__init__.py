"""Consistency for services that run as many processes on many machines.

Placement (`HashRing` and its kin), locks (`Client`) and transactions (`Coordinator`), these two
in a sync and an async form, on stores that are named by a URL.
"""

from concordant.aio.client import AsyncClient
from concordant.aio.coordinator import AsyncCoordinator
from concordant.aio.saga import AsyncSaga
from concordant.aio.step import AsyncStepContext
from concordant.errors import (
    AlreadyDecided,
    BackendUnavailable,
    CapacityExceeded,
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
from concordant.placement import (
    Balancer,
    HashRing,
    Jump,
    Maglev,
    Memento,
    ModuloRing,
    Node,
    Placement,
    Plan,
    Rendezvous,
    Slots,
    assign,
)
from concordant.sync.client import Client
from concordant.sync.coordinator import Coordinator
from concordant.sync.saga import Saga
from concordant.sync.step import StepContext
from concordant.transactions.sagarecord import SagaOutcome

__all__ = [
    "HashRing",
    "Rendezvous",
    "Slots",
    "Memento",
    "Maglev",
    "Jump",
    "ModuloRing",
    "Node",
    "Placement",
    "Plan",
    "Balancer",
    "assign",
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
    "CapacityExceeded",
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
