"""A batch of lock operations over records in memory: what drivers do between load and store."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Final

from concordant.errors import UsageError
from concordant.locking import limits
from concordant.locking.model import LockRecord, Moment, decide, validate
from concordant.locking.names import check_name
from concordant.locking.operations import Hint, Operation, Result

_NEW: Final = LockRecord()


def check(batch: Sequence[Operation]) -> None:
    """Raise UsageError if the batch is too long or an item malformed, before any is applied."""
    if len(batch) > limits.BATCH_MAX:
        raise UsageError(f"a batch has at most {limits.BATCH_MAX} items, this one {len(batch)}")
    for operation in batch:
        check_name(operation.name)
        validate(operation)


def run(
    records: MutableMapping[str, LockRecord], batch: Sequence[Operation], moment: Moment
) -> tuple[list[Result], list[Hint]]:
    """Apply a checked batch in order to the records, at one moment.

    Replaces what changed in `records`, where a missing name is a lock never used.
    """
    results: list[Result] = []
    hints: list[Hint] = []
    for operation in batch:
        before = records.get(operation.name, _NEW)
        decision = decide(before, operation, moment)
        if decision.record is not before:
            records[operation.name] = decision.record
        results.append(decision.result)
        hints.extend(decision.hints)
    return results, hints


def busy_until_us(record: LockRecord) -> int:
    """Return until when somebody holds the lock or waits for it, if nothing more is asked."""
    return max(
        max((holder.expires_us for holder in record.holders), default=0),
        max((waiter.expires_us for waiter in record.waiters), default=0),
    )


def quiet_from_us(record: LockRecord) -> int:
    """Return from when only the fence is left to remember, if nothing more is asked."""
    stones = max((stone.expires_us for stone in record.tombstones), default=0)
    return max(busy_until_us(record), stones)
