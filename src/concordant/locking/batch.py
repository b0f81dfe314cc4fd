"""A batch of lock operations over records in memory: what drivers do between load and store."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Final

from concordant.errors import UsageError
from concordant.locking import limits
from concordant.locking.model import LockRecord, Moment, decide, validate
from concordant.locking.names import check_name
from concordant.locking.operations import (
    Acquire,
    Confirm,
    Hint,
    Operation,
    Refused,
    Renew,
    Result,
)

_NEW: Final = LockRecord()
# With the others, nothing but the name can be wrong.
_WITH_BOUNDS: Final = frozenset({Acquire, Confirm, Renew})


def check_size(batch: Sequence[Operation]) -> None:
    """Raise UsageError if the batch has more items than a port takes."""
    if len(batch) > limits.BATCH_MAX:
        raise UsageError(f"a batch has at most {limits.BATCH_MAX} items, this one {len(batch)}")


def refusal(operation: Operation) -> Refused | None:
    """Return why the operation is malformed, or None if it may be applied."""
    try:
        check_name(operation.name)
        if type(operation) in _WITH_BOUNDS:
            validate(operation)
    except UsageError as error:
        return Refused(str(error))
    return None


def run(
    records: MutableMapping[str, LockRecord],
    batch: Sequence[Operation],
    refusals: Sequence[Refused | None],
    moment: Moment,
) -> tuple[list[Result], list[Hint]]:
    """Apply the batch in order to the records, at one moment, but for what is refused.

    Replaces what changed in `records`, where a missing name is a lock never used.
    """
    results: list[Result] = []
    hints: list[Hint] = []
    for operation, refused in zip(batch, refusals, strict=True):
        if refused is not None:
            results.append(refused)
            continue
        before = records.get(operation.name, _NEW)
        decision = decide(before, operation, moment)
        if decision.record is not before:
            records[operation.name] = decision.record
        results.append(decision.result)
        hints.extend(decision.hints)
    return results, hints


def horizons_us(record: LockRecord) -> tuple[int, int]:
    """Return when the lock comes to rest if nothing more is asked of it.

    First, until when somebody holds it or waits for it; second, from when only its fence is
    left to remember, which tombstones may put later.
    """
    busy_us = 0
    for holder in record.holders:
        busy_us = max(busy_us, holder.expires_us)
    for waiter in record.waiters:
        busy_us = max(busy_us, waiter.expires_us)
    quiet_us = busy_us
    for stone in record.tombstones:
        if stone.expires_us > quiet_us:
            quiet_us = stone.expires_us
    return busy_us, quiet_us
