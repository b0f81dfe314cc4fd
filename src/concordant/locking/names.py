"""Names of locks, clients and owners, and the one rule for each."""

from __future__ import annotations

import re
import secrets
from functools import lru_cache
from typing import Final

from concordant.errors import UsageError
from concordant.locking.limits import NAME_BYTES_MAX

_CLIENT: Final = re.compile(r"[a-z0-9]{16}")


def check_name(name: str) -> str:
    """Return the lock's name unchanged, or raise UsageError.

    A name is kept whole on every backend, never folded or hashed: 1 to 512 bytes of UTF-8
    without control characters.
    """
    if not isinstance(name, str):
        raise UsageError(f"a lock's name is a str, not {type(name).__name__}")
    return _checked(name)


# The same names come again and again, several times for each acquisition.
@lru_cache(maxsize=1024)
def _checked(name: str) -> str:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise UsageError("a lock's name must be valid Unicode (it has a lone surrogate)") from None
    if not 1 <= size <= NAME_BYTES_MAX:
        raise UsageError(f"a lock's name has 1 to {NAME_BYTES_MAX} bytes, this one {size}")
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise UsageError(f"a lock's name has no control characters: {name!r}")
    return name


def new_client() -> str:
    """Return a fresh client id: 16 characters, 80 random bits."""
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(16))


def owner_id(client: str, number: int) -> str:
    """Return the id of one acquisition: its client, a dot, and a number never used again."""
    return f"{client}.{number}"


def client_of(owner: str) -> str:
    """Return the client that an owner id belongs to."""
    return owner.partition(".")[0]


def is_client(text: str) -> bool:
    """Tell whether the text has the form of a client id."""
    return _CLIENT.fullmatch(text) is not None
