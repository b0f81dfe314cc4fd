"""Lock operations as the JSON that the database's functions take, and their answers back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from concordant.locking import limits
from concordant.locking.model import Holder, LockRecord, Moment, Waiter, view
from concordant.locking.operations import (
    Broken,
    Busy,
    Cancelled,
    Granted,
    Handed,
    Held,
    Hint,
    Lost,
    Operation,
    Queued,
    Refused,
    Released,
    Result,
    View,
)

LIMITS: Final = json.dumps(
    {
        "confirm_ms": limits.CONFIRM_MS,
        "waiter_ms": limits.WAITER_MS,
        "step_ms": limits.RETRY_STEP_MS,
        "retry_ms": limits.RETRY_MAX_MS,
        "tombstone_ms": limits.TOMBSTONE_MS,
        "tombstones": limits.TOMBSTONES_MAX,
    }
)


def encode(operations: Sequence[Operation]) -> str:
    """Return the operations as JSON, each with its verb."""
    return json.dumps([_row(each) for each in operations])


def _row(operation: Operation) -> dict[str, Any]:
    row = {"op": type(operation).__name__.lower(), **asdict(operation)}
    if "note" in row:
        # As JSON within JSON, since the database's own text takes neither NUL nor half of a
        # surrogate pair, and the notes of others travel in the same batch.
        row["note"] = json.dumps(row["note"])[1:-1]
    return row


def _note(text: str) -> str:
    return str(json.loads(f'"{text}"'))


def decode(operations: Sequence[Operation], answer: Sequence[Any]) -> list[Result]:
    """Return the results; `answer` is the store's time and a row a result."""
    now_us, rows = answer
    moment = Moment(now_us, now_us)
    return [
        _result(operation, row, moment) for operation, row in zip(operations, rows, strict=True)
    ]


def _result(operation: Operation, row: Sequence[Any], moment: Moment) -> Result:
    match row:
        case ["granted", fence]:
            return Granted(fence)
        case ["queued", position, retry_ms]:
            return Queued(position, retry_ms)
        case ["busy", retry_ms]:
            return Busy(retry_ms)
        case ["refused", reason]:
            return Refused(reason)
        case ["held"]:
            return Held()
        case ["lost"]:
            return Lost()
        case ["released", handed]:
            return Released(tuple(Handed(owner, fence) for owner, fence in handed))
        case ["cancelled", was]:
            return Cancelled(was)
        case ["broken", count]:
            return Broken(count)
        case ["view", lock]:
            return _view(operation.name, lock, moment)
    raise ValueError(f"the database answered {row!r} to {type(operation).__name__}")


def _view(name: str, lock: dict[str, Any], moment: Moment) -> View:
    record = LockRecord(
        lock["f"],
        lock["c"],
        tuple(Holder(o, f, p, t, e, c, _note(n)) for o, f, p, t, e, c, n in lock["h"]),
        tuple(Waiter(o, p, t, e, _note(n)) for o, p, t, e, n in lock["w"]),
    )
    return view(name, record, moment)


def hint(payload: str) -> Hint:
    """Return the hint that a notification carries."""
    name, owner, fence = json.loads(payload)
    return Hint(name, owner, fence)
