"""Lua scripts: their text, with the model's bounds before it, and the name Redis gives them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from concordant.locking import limits

# A lock that is neither held nor waited for is forgotten after this time. Its next fence is
# above its last one all the same, since it is at least the server's clock.
IDLE_MS: Final = 24 * 3600 * 1000
# Raised when records are written in another form; a record of another one is refused.
RECORD_FORMAT: Final = 1

_NUMBERS: Final = {
    "RECORD_FORMAT": RECORD_FORMAT,
    "CONFIRM_US": limits.CONFIRM_MS * 1000,
    "WAITER_US": limits.WAITER_MS * 1000,
    "TOMBSTONE_US": limits.TOMBSTONE_MS * 1000,
    "TOMBSTONES_MAX": limits.TOMBSTONES_MAX,
    "RETRY_STEP_MS": limits.RETRY_STEP_MS,
    "RETRY_MAX_MS": limits.RETRY_MAX_MS,
    "IDLE_MS": IDLE_MS,
}


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and the digest by which a server that has it knows it."""

    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> Script:
        """Return the script of this text."""
        digest = hashlib.sha1(text.encode(), usedforsecurity=False)  # fixed by Redis
        return cls(text, digest.hexdigest())


def lua(name: str) -> str:
    """Return the text of a script of this driver."""
    return files(__package__).joinpath(name).read_text("utf-8")


def applying(text: str) -> Script:
    """Return a script that applies batches: the bounds of the lock model, and this text."""
    names, values = ", ".join(_NUMBERS), ", ".join(map(str, _NUMBERS.values()))
    return Script.of(f"local {names} = {values}\n{text}")


APPLY: Final = applying(lua("apply.lua"))
