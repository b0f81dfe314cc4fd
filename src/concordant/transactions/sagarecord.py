"""What the log keeps of a saga for its whole life, and how sagas are told to people."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from concordant.errors import UsageError
from concordant.transactions.operations import Record, SagaState

KIND: Final = "saga"
FORMAT: Final = 1

STEPS_MAX: Final = 64
# All steps' results and the payload go through the log at every step; together they stay
# below what a log takes.
RESULT_BYTES_MAX: Final = 48 * 1024
PAYLOAD_BYTES_MAX: Final = 1024 * 1024
TIMEOUT_S_MAX: Final = 366 * 24 * 3600
_EVIDENCE_CHARS_MAX: Final = 1000

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def check_name(what: str, name: str) -> str:
    """Return the name unchanged, or raise UsageError: 1 to 64 of ``[A-Za-z0-9._-]``."""
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"{what} is 1 to 64 of [A-Za-z0-9._-], not {name!r}")
    return name


def as_json(what: str, value: object, bytes_max: int) -> str:
    """Return the value as the one JSON text that equal values share, or raise UsageError."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
        # Once around: keys that were no strings may fall together only now.
        text = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{what} must be a JSON value: {error}") from None
    if len(text) > bytes_max:  # plain ASCII, so characters are bytes
        raise UsageError(f"{what} has at most {bytes_max} bytes as JSON, this one {len(text)}")
    return text


def told(text: str) -> str:
    """Return text from anywhere in a form and length that every log takes."""
    plain = text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
    if len(plain) <= _EVIDENCE_CHARS_MAX:
        return plain
    return plain[:_EVIDENCE_CHARS_MAX] + " …"


@dataclass(frozen=True, slots=True)
class Charter:
    """What a saga is to do: fixed when it is stored, never changed after.

    `payload` is the user's, as JSON text. The names of the steps are kept so that a
    definition that was changed under its name and version is found out.
    """

    payload: str
    steps: tuple[str, ...]
    timeout_ms: int | None

    def to_json(self) -> str:
        """Return the text that the log keeps."""
        timeout = json.dumps(self.timeout_ms)
        steps = json.dumps(self.steps)
        return (
            f'{{"format":{FORMAT},"payload":{self.payload},"steps":{steps},"timeout_ms":{timeout}}}'
        )

    @classmethod
    def from_json(cls, text: str) -> Charter:
        """Return what the log has kept; raises UsageError for what a newer version wrote."""
        kept = json.loads(text)
        if kept["format"] != FORMAT:
            raise UsageError(
                f"the saga was stored by another concordant (format {kept['format']}, this one"
                f" knows {FORMAT}); upgrade this one"
            )
        payload = json.dumps(kept["payload"], sort_keys=True, separators=(",", ":"))
        return cls(payload, tuple(kept["steps"]), kept["timeout_ms"])


@dataclass(frozen=True, slots=True)
class SagaOutcome:
    """How a saga ended.

    `results` has each step's result by name, empty if the saga was aborted; `reason` says
    why it was. `fresh`: the very call that returns this began it.
    """

    gid: str
    state: Literal["committed", "aborted"]
    results: dict[str, Any] = field(default_factory=dict)
    fresh: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SagaStatus:
    """An unfinished saga as a person sees it.

    `saga` is its definition, `owner` who has it (`alive`: that coordinator lives),
    `due_in_s` when it is tried next once somebody may, `evidence` what keeps it from its end.
    """

    gid: str
    saga: str
    state: SagaState
    age_s: float
    due_in_s: float
    owner: str
    alive: bool
    evidence: str

    @classmethod
    def of(cls, record: Record, alive: bool, note: str) -> SagaStatus:
        """Return what a record says, with a note of this process on it."""
        return cls(
            record.gid,
            record.definition,
            record.state,
            record.age_ms / 1000,
            record.due_in_ms / 1000,
            f"{record.owner}-{record.epoch}",
            alive,
            "; ".join(filter(None, (record.evidence, note))),
        )
