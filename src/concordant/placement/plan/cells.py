"""Which cell of the hash space a key lies in: a table of points whose nodes are the cells."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from concordant.placement.hashing.named import XXH64, Position, position_by
from concordant.placement.kernel_lookups import Lookup
from concordant.placement.keys import Key
from concordant.placement.tables.lookup import Lookup as Twin


class _ByHash(Twin):
    """A look-up by another hash than the kernel's."""

    __slots__ = ("_hash",)

    def __init__(self, hash_name: str) -> None:
        self._hash: Position = position_by(hash_name)

    def _position(self, key: Key) -> int:
        return self._hash(key)


class Cells:
    """Find what was said of the part of the hash space in which a key lies.

    ``ends`` ascend, the last being the end of the space; each cell reaches from the end before
    up to but not including its own.
    """

    def __init__(self, hash_name: str, ends: Sequence[int], said: Sequence[Any]) -> None:
        lookup: Any = Lookup() if hash_name == XXH64 else _ByHash(hash_name)
        count = len(ends)
        lookup._arm(
            array("Q", (end - 1 for end in ends)),
            array("I", range(count)),
            array("i", range(count)),
            tuple(said),
        )
        self._lookup = lookup

    def of_many(self, keys: Iterable[Key]) -> list[Any]:
        """Return what was said of each key's cell."""
        found: list[Any] = self._lookup.node_many(keys)
        return found
