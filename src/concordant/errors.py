"""Every error that concordant raises, ordered by what the caller does next.

=====================  =============================================================
``UsageError``         mend the code: the request itself makes no sense
``LockTimeout``        try later: somebody else held the lock for the whole time
``LockLost``           stop: the lease is over, somebody else may own the lock now
``StaleFence``         stop: the resource has already seen a newer holder
``BackendUnavailable`` retry the call: nothing is known to have happened
``OutcomeUnknown``     ask again with the same id: it may or may not have happened
``TransactionAborted`` nothing happened, in no participant
``HeuristicOutcome``   call a person: a participant went another way than decided
``TransactionStuck``   call a person: it cannot be finished automatically
``GuaranteeUnavailable`` choose another backend: this one cannot promise that
``CapacityExceeded``   add room: the nodes together cannot take that much
=====================  =============================================================

``StepFailed`` goes the other way: a saga's action raises it to say no.
"""

from __future__ import annotations


class ConcordantError(Exception):
    """Root of every error that this package raises by itself."""


class UsageError(ConcordantError, ValueError):
    """The request makes no sense as written; mend the calling code or the input."""


class AlreadyDecided(UsageError):
    """The gid has its outcome in the log already; nothing was done again.

    `outcome` is `"commit"` or `"abort"`.
    """

    def __init__(self, message: str, outcome: str) -> None:
        super().__init__(message)
        self.outcome = outcome


class LockTimeout(ConcordantError, TimeoutError):
    """The lock was not granted within the total time given; nothing is left behind."""


class LockLost(ConcordantError):
    """The lease is over (expired, broken or taken); stop acting as its holder."""


class StaleFence(ConcordantError):
    """The guarded resource has seen a newer fence; this holder must stop."""


class BackendUnavailable(ConcordantError):
    """The backend could not be reached or refused to serve; retry the call."""


class OutcomeUnknown(ConcordantError):
    """The request was sent and its reply never came; ask again with the same id."""


class TransactionAborted(ConcordantError):
    """The global transaction was rolled back everywhere; nothing of it remains."""


class HeuristicOutcome(ConcordantError):
    """A participant finished otherwise than decided; a person has to look at it."""


class TransactionStuck(ConcordantError):
    """The transaction cannot be finished without a person; it is kept and listed."""


class GuaranteeUnavailable(ConcordantError):
    """The chosen backend cannot give what was asked; choose another one."""


class CapacityExceeded(ConcordantError):
    """The nodes together have no room for what is to be placed; nothing was placed."""


class StepFailed(ConcordantError):
    """Raised by a saga's action to say no, for good: undo what came before, do not try again.

    Not a TransactionAborted, so that no handler around a transaction inside the action takes
    the refusal for one that may be repeated.
    """
