"""The hashes by which keys become positions, by the names under which they are written down.

A position is an int from 0 up to but not including 2**64. Hashes with fewer values are spread
over that space: of M values, value v begins at the smallest position p with p * M >> 64 == v.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

from concordant.errors import UsageError
from concordant.placement.hashing.xxh64 import key_position
from concordant.placement.keys import Key

Position = Callable[[Key], int]

XXH64 = "xxh64"
INT = "int"

# Loaded when one is asked for: most services use none of them.
_ELSEWHERE = {
    "crc16": "concordant.placement.compat.redis_cluster",
    "ketama": "concordant.placement.compat.ketama",
    "md5": "concordant.placement.compat.ketama",
}


def position_by(name: str) -> Position:
    """Return the function that gives a key's position under the hash of this name.

    Raises UsageError for a name that no placement has.
    """
    if name == XXH64:
        return key_position
    if name == INT:
        return int_position
    family, _, rest = name.partition("-")
    if family == "mod" and (digest := rest.rpartition("-"))[1]:
        from concordant.placement.tables.modulo import (
            checked_digest,
            modulo_position,
            readable_modulus,
        )

        modulus = readable_modulus(digest[2])
        return partial(modulo_position, modulus=modulus, digest=checked_digest(digest[0]))
    if family in _ELSEWHERE:
        return import_module(_ELSEWHERE[family]).position_by(name)  # type: ignore[no-any-return]
    raise UsageError(f"no placement uses a hash named {name!r}")


def int_position(key: Key) -> int:
    """Return a key that is a hash already, modulo 2**64; raises UsageError unless it is an int."""
    if not isinstance(key, int) or isinstance(key, bool):
        raise UsageError(
            f"with hash 'int' a key is an int that is a hash already, not {type(key).__name__}"
        )
    return key & ((1 << 64) - 1)


def spread_out(value: int, values: int) -> int:
    """Return the first position of a value, when so many values share the hash space."""
    return -(-(value << 64) // values)
