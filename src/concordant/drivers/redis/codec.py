"""How a batch of lock operations travels to the script, and its results back.

Operations go as one JSON list of lists, each a code, the index of its key and its fields; see
`apply.lua`. Results come as lines of a letter and JSON. Both ends parse in C, and nothing that
a name, an owner or a note may hold needs a rule of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from concordant.locking.batch import refusal
from concordant.locking.operations import (
    Acquire,
    Break,
    Broken,
    Busy,
    Cancel,
    Cancelled,
    Confirm,
    Granted,
    Handed,
    Held,
    Hint,
    HolderView,
    Inspect,
    Lost,
    Operation,
    Queued,
    Refused,
    Release,
    Released,
    Renew,
    Result,
    View,
    WaiterView,
)

_ACQUIRE, _EXTEND, _RELEASE, _CANCEL, _INSPECT, _BREAK = range(1, 7)

_to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

# Notes may hold lone surrogates, which strict UTF-8 has no form for.
_ENCODING: Final = ("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Request:
    """A batch ready to be sent: the names it is about, and its operations in JSON."""

    names: list[str]
    operations: bytes
    refusals: list[Refused | None]


def encode(batch: Sequence[Operation]) -> Request:
    """Return the batch as the script takes it; what is malformed is refused and left out."""
    indexes: dict[str, int] = {}
    rows: list[list[Any]] = []
    refusals: list[Refused | None] = []
    for operation in batch:
        refused = refusal(operation)
        refusals.append(refused)
        if refused is None:
            index = indexes.setdefault(operation.name, len(indexes) + 1)
            rows.append(_ROWS[type(operation)](operation, index))
    return Request(list(indexes), _to_json(rows).encode(*_ENCODING), refusals)


def decode(reply: bytes, batch: Sequence[Operation], request: Request) -> list[Result]:
    """Return the results that the script's reply and the refusals spell, in order."""
    lines = iter(reply.decode(*_ENCODING).split("\n"))
    return [
        _RESULTS[(line := next(lines))[0]](line[1:], operation) if refused is None else refused
        for operation, refused in zip(batch, request.refusals, strict=True)
    ]


def decode_hint(message: bytes) -> Hint | None:
    """Return the hint of a published message; None if it is not ours."""
    try:
        name, owner, fence = json.loads(message.decode(*_ENCODING))
        return Hint(str(name), str(owner), int(fence))
    except (ValueError, TypeError):
        return None


def _acquire(op: Acquire, key: int) -> list[Any]:
    wait = 1 if op.wait else 0
    return [_ACQUIRE, key, op.owner, op.ttl_ms, wait, op.permits, op.capacity, op.note]


def _extend(op: Confirm | Renew, key: int) -> list[Any]:
    return [_EXTEND, key, op.owner, op.fence, op.ttl_ms]


_ROWS: Final[dict[type, Callable[[Any, int], list[Any]]]] = {
    Acquire: _acquire,
    Confirm: _extend,
    Renew: _extend,
    Release: lambda op, key: [_RELEASE, key, op.owner, op.fence],
    Cancel: lambda op, key: [_CANCEL, key, op.owner, 1 if op.late else 0],
    Inspect: lambda op, key: [_INSPECT, key],
    Break: lambda op, key: [_BREAK, key, op.fence],
}


def _released(text: str, _: Operation) -> Released:
    if not text:
        return _RELEASED
    return Released(tuple(Handed(owner, fence) for owner, fence in json.loads(text)))


def _view(text: str, operation: Operation) -> View:
    fence, capacity, holders, waiters = json.loads(text)
    return View(
        operation.name,
        fence,
        capacity,
        tuple(HolderView(o, f, p, left, bool(c), note) for o, f, p, left, c, note in holders),
        tuple(WaiterView(*waiter) for waiter in waiters),
    )


_HELD: Final = Held()
_LOST: Final = Lost()
_RELEASED: Final = Released()

_RESULTS: Final[dict[str, Callable[[str, Operation], Result]]] = {
    "G": lambda text, _: Granted(int(text)),
    "Q": lambda text, _: Queued(*json.loads(text)),
    "B": lambda text, _: Busy(int(text)),
    "R": lambda text, _: Refused(json.loads(text)),
    "H": lambda text, _: _HELD,
    "L": lambda text, _: _LOST,
    "D": _released,
    "C": lambda text, _: Cancelled(json.loads(text)),
    "V": _view,
    "K": lambda text, _: Broken(int(text)),
}
