"""The fingerprint of what is no table of points."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

DIGITS = 32


def digest_of(parts: Iterable[bytes]) -> str:
    """Return the fingerprint of a placement that is no table, from what its lists follow from.

    Each part is digested behind its length in 8 bytes, little-endian.
    """
    told = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    return sha256(b"concordant-placement/1\0" + told).hexdigest()[:DIGITS]
