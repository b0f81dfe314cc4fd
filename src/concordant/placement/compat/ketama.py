"""The 32-bit hashes of the ketama family, and where they fall in the hash space.

Ketama (last.fm, 2007) takes four points from each MD5 digest: its four words of 32 bits, read
little-endian. A key stands at the first of them. libmemcached has one more hash for keys, Bob
Jenkins' one-at-a-time, which it uses unless it is told otherwise.

A 32-bit hash h has the positions from h * 2**32 on, as many; a key stands at the first of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from hashlib import md5
from typing import Final

from concordant.errors import UsageError
from concordant.placement.keys import Key, key_bytes

WORDS_PER_DIGEST: Final = 4
SHIFT: Final = 32

MD5: Final = "ketama-md5"
ONE_AT_A_TIME: Final = "ketama-one-at-a-time"
MD5_HALF: Final = "md5-64"

_MASK: Final = (1 << 32) - 1
_WORDS: Final = struct.Struct("<4I")


def md5_words(data: bytes) -> tuple[int, int, int, int]:
    """Return the four 32-bit words of the MD5 of ``data``, little-endian."""
    return _WORDS.unpack(md5(data, usedforsecurity=False).digest())


def md5_word(data: bytes) -> int:
    """Return the first 32-bit word of the MD5 of ``data``, little-endian."""
    return md5_words(data)[0]


def one_at_a_time(data: bytes) -> int:
    """Return the one-at-a-time hash of ``data`` as libmemcached computes it (Jenkins, 1997).

    Bytes from 128 on count as negative, for its C code reads them as ``char``, which is signed
    on x86; where ``char`` has no sign, libmemcached itself gives another hash to such keys.
    """
    value = 0
    for byte in data:
        value = value + (byte - 256 if byte > 127 else byte) & _MASK
        value = value + (value << 10) & _MASK
        value ^= value >> 6
    value = value + (value << 3) & _MASK
    value ^= value >> 11
    return value + (value << 15) & _MASK


def md5_position(key: Key) -> int:
    """Return where a key falls by the first word of its MD5."""
    return md5_word(key_bytes(key)) << SHIFT


def one_at_a_time_position(key: Key) -> int:
    """Return where a key falls by its one-at-a-time hash."""
    return one_at_a_time(key_bytes(key)) << SHIFT


def md5_half_position(key: Key) -> int:
    """Return where a key falls by the first 64 bits of its MD5, big-endian."""
    return int.from_bytes(md5(key_bytes(key), usedforsecurity=False).digest()[:8], "big")


_POSITIONS: Final[dict[str, Callable[[Key], int]]] = {
    MD5: md5_position,
    ONE_AT_A_TIME: one_at_a_time_position,
    MD5_HALF: md5_half_position,
}


def position_by(name: str) -> Callable[[Key], int]:
    """Return the function that gives a key's position under the hash of this name.

    Raises UsageError for a name that is none of this family.
    """
    if name not in _POSITIONS:
        raise UsageError(
            f"no placement uses a hash named {name!r}; of this family are {', '.join(_POSITIONS)}"
        )
    return _POSITIONS[name]
