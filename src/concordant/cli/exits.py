"""Exit codes, as flock and sysexits have them, and which error ends with which."""

from __future__ import annotations

from typing import Final

from concordant.errors import (
    BackendUnavailable,
    GuaranteeUnavailable,
    LockLost,
    LockTimeout,
    OutcomeUnknown,
    StaleFence,
    UsageError,
)

USAGE: Final = 64
BAD_INPUT: Final = 65
UNAVAILABLE: Final = 69
INTERNAL: Final = 70
BUSY: Final = 75
PERMISSION: Final = 77
MISCONFIGURED: Final = 78
LOST: Final = 79
NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127
# Plus the number of the signal that ended it.
SIGNALLED: Final = 128

# The first that fits counts.
_CODES: Final[tuple[tuple[type[BaseException], int], ...]] = (
    (PermissionError, PERMISSION),
    (LockTimeout, BUSY),
    (LockLost, LOST),
    (StaleFence, LOST),
    (BackendUnavailable, UNAVAILABLE),
    (OutcomeUnknown, UNAVAILABLE),
    (GuaranteeUnavailable, MISCONFIGURED),
    (UsageError, USAGE),
)


class Failure(Exception):
    """The command cannot go on, and knows the exit code that says why."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: BaseException) -> int:
    """Return the exit code for an error that ends a command."""
    from concordant.bank.inputs import BadInput  # here, since most commands never need it

    if isinstance(error, Failure):
        return error.code
    if isinstance(error, BadInput):
        return BAD_INPUT
    if isinstance(error.__cause__, PermissionError):
        return PERMISSION
    return next((code for kind, code in _CODES if isinstance(error, kind)), INTERNAL)


def one_line(error: BaseException) -> str:
    """Return what the error says, on one line; what nobody foresaw is named by its type."""
    said = " ".join(str(error).split())
    if code_of(error) == INTERNAL:
        return f"internal error: {type(error).__name__}: {said}; -v shows where"
    return said or type(error).__name__
