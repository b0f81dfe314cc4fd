"""What a transaction log refuses as malformed, the same for every driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

from concordant.errors import UsageError
from concordant.transactions.names import BRANCHES_MAX, check_gid
from concordant.transactions.operations import (
    Advance,
    Claim,
    CloseOwner,
    Create,
    Decide,
    Finish,
    Load,
    LogOperation,
    OpenOwner,
    Outcome,
    OwnerStates,
    Purge,
    Query,
    RenewOwner,
    SagaState,
)

BATCH_MAX: Final = 256
CLAIM_MAX: Final = 1024
LEASE_MS_MAX: Final = 24 * 3600 * 1000
DUE_MS_MAX: Final = 366 * 24 * 3600 * 1000
AGE_MS_MAX: Final = 2**53 - 1
OWNER_BYTES_MAX: Final = 64
# Payloads are references and small documents, not files: a log is rewritten at every step.
TEXT_BYTES_MAX: Final = 4 * 1024 * 1024
EVIDENCE_BYTES_MAX: Final = 64 * 1024
_INT_MAX: Final = 2**63 - 1


def check_size(batch: Sequence[LogOperation]) -> None:
    """Raise UsageError if the batch holds more items than a port takes."""
    if len(batch) > BATCH_MAX:
        raise UsageError(f"a batch has at most {BATCH_MAX} items, this one {len(batch)}")


def malformed(operation: LogOperation) -> str:
    """Return why the operation is malformed, or an empty string if it can be done."""
    try:
        _check(operation)
    except UsageError as error:
        return str(error)
    return ""


def _check(operation: LogOperation) -> None:
    if isinstance(operation, Decide | Finish | Create | Advance | Load):
        check_gid(operation.gid)
    if isinstance(operation, OpenOwner | RenewOwner | CloseOwner | Decide | Create | Advance):
        _text("an owner", operation.owner, OWNER_BYTES_MAX, least=1)
    if isinstance(operation, RenewOwner | CloseOwner | Decide | Create | Advance | Claim):
        _number("an epoch", operation.epoch, 0, _INT_MAX)
    match operation:
        case OpenOwner():
            _number("a lease in ms", operation.ttl_ms, 1, LEASE_MS_MAX)
            _text("a note", operation.note, EVIDENCE_BYTES_MAX)
            _number("an epoch", operation.past, 0, _INT_MAX)
        case RenewOwner():
            _number("a lease in ms", operation.ttl_ms, 1, LEASE_MS_MAX)
        case Decide():
            _check_decide(operation)
        case Finish():
            _text("evidence", operation.evidence, EVIDENCE_BYTES_MAX, least=int(operation.by_hand))
            if operation.by_hand and operation.heuristic:
                raise UsageError("what is settled by hand is not heuristic any more")
        case Create():
            _text("a kind", operation.kind, OWNER_BYTES_MAX, least=1)
            _text("a definition", operation.definition, TEXT_BYTES_MAX)
            _text("a payload", operation.payload, TEXT_BYTES_MAX)
        case Advance():
            _check_advance(operation)
        case Claim():
            _check_claim(operation)
        case Query():
            _text("a gid to go on after", operation.after, OWNER_BYTES_MAX)
            _number("a limit", operation.limit, 1, _INT_MAX)
        case OwnerStates():
            for owner, epoch in operation.owners:
                _text("an owner", owner, OWNER_BYTES_MAX)
                _number("an epoch", epoch, 0, _INT_MAX)
        case Purge():
            _number("an age in ms", operation.older_than_ms, 0, AGE_MS_MAX)
        case CloseOwner() | Load():
            pass


def _check_decide(operation: Decide) -> None:
    if operation.outcome not in get_args(Outcome):
        raise UsageError(f"an outcome is commit or abort, not {operation.outcome!r}")
    if len(operation.branches) > BRANCHES_MAX:
        raise UsageError(f"a decision covers at most {BRANCHES_MAX} branches")
    for ref in operation.branches:
        for text in (ref.branch, ref.resource, ref.place):
            _text("a branch's name, resource or place", text, EVIDENCE_BYTES_MAX)


def _check_advance(operation: Advance) -> None:
    if operation.state not in get_args(SagaState):
        raise UsageError(
            f"a state is one of {', '.join(get_args(SagaState))}, not {operation.state!r}"
        )
    _number("a version", operation.version, 0, _INT_MAX)
    _number("a delay in ms", operation.due_in_ms, 0, DUE_MS_MAX)
    _text("data", operation.data, TEXT_BYTES_MAX)
    _text("evidence", operation.evidence, EVIDENCE_BYTES_MAX)


def _check_claim(operation: Claim) -> None:
    _text("an owner", operation.owner, OWNER_BYTES_MAX, least=1)
    _number("a limit", operation.limit, 1, _INT_MAX)
    if max(len(operation.definitions), len(operation.gids)) > CLAIM_MAX:
        raise UsageError(f"a claim names at most {CLAIM_MAX} definitions or gids")
    for definition in operation.definitions:
        _text("a definition", definition, TEXT_BYTES_MAX)
    for gid in operation.gids:
        check_gid(gid)


def _text(what: str, text: object, most: int, least: int = 0) -> None:
    if not isinstance(text, str):
        raise UsageError(f"{what} is a str, not {type(text).__name__}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UsageError(f"{what} must be valid Unicode (it has a lone surrogate)") from None
    if not least <= size <= most:
        raise UsageError(f"{what} has {least} to {most} bytes, this one {size}")
    if "\0" in text:
        raise UsageError(f"{what} must not contain NUL")


def _number(what: str, number: object, least: int, most: int) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
        raise UsageError(f"{what} is a whole number from {least} to {most}, not {number!r}")
