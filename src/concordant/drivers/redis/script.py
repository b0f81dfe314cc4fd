"""Lua scripts: their text, with the model's bounds before it, and the name Redis gives them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from concordant.locking import limits

# A lock that is neither held nor waited for is forgotten after this time. Its next fence is
# above its last one all the same, since it is at least the server's clock.
IDLE_MS: Final = 24 * 3600 * 1000
# Raised when records are written in another form; a record of another one is refused.
RECORD_FORMAT: Final = 1

_CONSTANTS: Final = {
    "RECORD_FORMAT": RECORD_FORMAT,
    # How cmsgpack begins a record: a list of six, and the format.
    "START": f"'\\150\\{RECORD_FORMAT}'",
    "CONFIRM_US": limits.CONFIRM_MS * 1000,
    "WAITER_US": limits.WAITER_MS * 1000,
    "TOMBSTONE_US": limits.TOMBSTONE_MS * 1000,
    "TOMBSTONES_MAX": limits.TOMBSTONES_MAX,
    "RETRY_STEP_MS": limits.RETRY_STEP_MS,
    "RETRY_MAX_MS": limits.RETRY_MAX_MS,
    # In text, as a command takes it: numbers are turned into text anew each time.
    "IDLE_MS": f"'{IDLE_MS}'",
}

_DECLARED: Final = re.compile(r"^local ([A-Z_]+(?:, [A-Z_]+)*) = (\d+(?:, \d+)*)$", re.MULTILINE)


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
    names, values = ", ".join(_CONSTANTS), ", ".join(map(str, _CONSTANTS.values()))
    return Script.of(f"local {names} = {values}\n{_with_numbers(text)}")


def _with_numbers(text: str) -> str:
    """Put numbers in the place of the text's own names in capitals.

    Lua has no constants: each of them would be handed to every function that names it, at every
    run of the script, which takes a tenth of its time.
    """
    numbers: dict[str, str] = {}
    for names, values in _DECLARED.findall(text):
        numbers |= zip(names.split(", "), values.split(", "), strict=True)
    named = re.compile(rf"\b({'|'.join(numbers)})\b")
    return named.sub(lambda name: numbers[name[0]], _DECLARED.sub("", text))


APPLY: Final = applying(lua("apply.lua"))
