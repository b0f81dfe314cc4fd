"""Commands and messages as they travel: arrays of bulk strings, made and read in one go.

redis-py does the same piece by piece, at several times the cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from redis.exceptions import InvalidResponse, NoScriptError, ResponseError

from concordant.drivers.redis.script import Script

Argument = str | bytes | int


def bulk(argument: Argument) -> bytes:
    """Return one argument as the server reads it."""
    text = argument if isinstance(argument, bytes) else str(argument).encode()
    return b"$%d\r\n%b\r\n" % (len(text), text)


def command(*arguments: Argument) -> bytes:
    """Return a whole command."""
    return b"*%d\r\n%b" % (len(arguments), b"".join(map(bulk, arguments)))


class Caller:
    """Makes the commands that run a script for one store, whose keys begin with its prefix."""

    def __init__(self, script: Script, prefix: str) -> None:
        self._short = b"%b%b" % (bulk("EVALSHA"), bulk(script.sha))
        self._whole = b"%b%b" % (bulk("EVAL"), bulk(script.text))
        self._last = bulk(prefix)
        # The same names come again and again.
        self._key = lru_cache(maxsize=1024)(lambda name: bulk(f"{prefix}lock:{name}"))

    def call(self, names: Sequence[str], operations: bytes) -> bytes:
        """Return the command that applies operations to locks, for a server that has the script."""
        number = b"%d" % len(names)
        return b"*%d\r\n%b$%d\r\n%b\r\n%b$%d\r\n%b\r\n%b" % (
            len(names) + 5,
            self._short,
            len(number),
            number,
            b"".join(map(self._key, names)),
            len(operations),
            operations,
            self._last,
        )

    def with_text(self, call: bytes) -> bytes:
        """Return the same command with the text of the script in it."""
        return call.replace(self._short, self._whole, 1)


def messages_in(data: bytes) -> tuple[list[Any], bytes]:
    """Return the whole replies and messages that the data begin with, and what is left."""
    messages: list[Any] = []
    start = 0
    while (found := value_at(data, start)) is not None:
        message, start = found
        messages.append(message)
    return messages, data[start:]


def value_at(data: bytes, at: int = 0) -> tuple[Any, int] | None:
    """Return the value that begins at this place, and where it ends; None if it is not all there.

    An error reply is a ResponseError, returned and not raised. Raises InvalidResponse for what
    is none of the server's.
    """
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    kind, text, end = data[at : at + 1], data[at + 1 : end], end + 2
    if kind == b"$":
        last = end + int(text)
        if last < end:
            return None, end
        return None if len(data) < last + 2 else (data[end:last], last + 2)
    if kind == b"*":
        return _list_at(data, end, int(text))
    if kind == b":":
        return int(text), end
    if kind == b"+":
        return text, end
    if kind == b"-":
        error = NoScriptError if text.startswith(b"NOSCRIPT") else ResponseError
        return error(text.decode(errors="replace")), end
    raise InvalidResponse(f"no reply begins with {kind!r}")


def _list_at(data: bytes, at: int, size: int) -> tuple[list[Any], int] | None:
    values: list[Any] = []
    for _ in range(size):
        found = value_at(data, at)
        if found is None:
            return None
        value, at = found
        values.append(value)
    return values, at
