"""How a batch of lock operations travels to the script, and its results back.

Operations go as one JSON list of lists, each a code, the index of its key and its fields; see
`apply.lua`. Results come as lines of a letter and JSON. Both ends parse in C, and nothing that
a name, an owner or a note may hold needs a rule of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring as quoted
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

# Notes may hold lone surrogates, which strict UTF-8 has no form for.
_ENCODING: Final = ("utf-8", "surrogatepass")
_decoder: Final = json.JSONDecoder()


def _parsed(text: str) -> Any:
    """Return what `json.loads` does of a text with nothing around it, at half the cost."""
    return _decoder.raw_decode(text)[0]


@dataclass(slots=True)
class Request:
    """A batch ready to be sent: the names it is about, and its operations in JSON."""

    names: list[str]
    operations: bytes
    refusals: dict[int, Refused]


def encode(batch: Sequence[Operation]) -> Request:
    """Return the batch as the script takes it; what is malformed is refused and left out."""
    indexes: dict[str, int] = {}
    rows: list[str] = []
    refusals: dict[int, Refused] = {}
    for place, operation in enumerate(batch):
        if (refused := refusal(operation)) is not None:
            refusals[place] = refused
            continue
        key = indexes.setdefault(operation.name, len(indexes) + 1)
        rows.append(_ROWS[type(operation)](operation, key))
    return Request(list(indexes), f"[{','.join(rows)}]".encode(*_ENCODING), refusals)


def decode(reply: bytes, batch: Sequence[Operation], request: Request) -> list[Result]:
    """Return the results that the script's reply and the refusals spell, in order."""
    lines = reply.decode(*_ENCODING).split("\n") if request.names else []
    if not request.refusals:
        return [_result(line, item) for line, item in zip(lines, batch, strict=True)]
    answered = iter(lines)
    return [
        request.refusals.get(place) or _result(next(answered), item)
        for place, item in enumerate(batch)
    ]


def _result(line: str, operation: Operation) -> Result:
    if line == "D":
        return _RELEASED
    if line[0] == "G":
        return Granted(int(line[1:]))
    return _RESULTS[line[0]](line[1:], operation)


def decode_hint(message: bytes) -> Hint | None:
    """Return the hint of a published message; None if it is not ours."""
    try:
        name, owner, fence = _parsed(message.decode(*_ENCODING))
        return Hint(str(name), str(owner), int(fence))
    except (ValueError, TypeError):
        return None


def _acquire(op: Acquire, key: int) -> str:
    note = quoted(op.note) if op.note else '""'
    fields = f"{op.ttl_ms},{op.wait:d},{op.permits},{op.capacity},{note}"
    return f"[1,{key},{quoted(op.owner)},{fields}]"


def _extend(op: Confirm | Renew, key: int) -> str:
    return f"[2,{key},{quoted(op.owner)},{op.fence},{op.ttl_ms}]"


# By the code that stands first, `apply.lua` knows what to do.
_ROWS: Final[dict[type, Callable[[Any, int], str]]] = {
    Acquire: _acquire,
    Confirm: _extend,
    Renew: _extend,
    Release: lambda op, key: f"[3,{key},{quoted(op.owner)},{op.fence}]",
    Cancel: lambda op, key: f"[4,{key},{quoted(op.owner)},{op.late:d}]",
    Inspect: lambda op, key: f"[5,{key}]",
    Break: lambda op, key: f"[6,{key},{op.fence}]",
}


def _released(text: str, _: Operation) -> Released:
    return Released(tuple(Handed(owner, fence) for owner, fence in _parsed(text)))


def _view(text: str, operation: Operation) -> View:
    fence, capacity, holders, waiters = _parsed(text)
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
    "Q": lambda text, _: Queued(*_parsed(text)),
    "B": lambda text, _: Busy(int(text)),
    "R": lambda text, _: Refused(_parsed(text)),
    "H": lambda text, _: _HELD,
    "L": lambda text, _: _LOST,
    "D": _released,
    "C": lambda text, _: Cancelled(_parsed(text)),
    "V": _view,
    "K": lambda text, _: Broken(int(text)),
}
