"""MementoHash over JumpBackHash, and look-ups by it.

JumpBackHash: Ertl, 2024 (arXiv:2403.18682); it gives the buckets of a placement that has only
grown. MementoHash: Coluzzi, Brocco, Antonucci, Leidi, 2023 (arXiv:2306.09783); it remembers which
buckets were removed, and finds others for their keys.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from concordant.placement.hashing.mixing import drawn, other_seed
from concordant.placement.nodes import Node
from concordant.placement.placer import Placer

HALF = (1 << 32) - 1
KEPT = -1


def jump_back(position: int, buckets: int) -> int:
    """Return the bucket of a position, from 0 up to but not including ``buckets``.

    Buckets are grouped by octave, [2**k, 2**(k+1)). For each octave a bit says whether the
    position ever jumps to one of its buckets as they are added, and if so, its last one is
    drawn. Only in the highest octave this may be a bucket that is not there yet; earlier ones
    are then drawn until one is there, or falls below the octave: that ends it.
    """
    if buckets <= 1:
        return 0
    first = drawn(position, 0)
    octaves = (first ^ first >> 32) & ((1 << (buckets - 1).bit_length()) - 1)
    draws = 2  # halves of numbers that are used up
    while octaves:
        low = 1 << octaves.bit_length() - 1
        # One half of the number for each of the two octaves at most that are looked at.
        half = first >> 32 if octaves.bit_count() & 1 else first
        bucket = low + (half & (low - 1))
        while bucket >= low:
            if bucket < buckets:
                return bucket
            number = drawn(position, draws >> 1)
            bucket = (number >> 32 if draws & 1 else number) & (2 * low - 1)
            draws += 1
        octaves ^= low
    return 0


def memento(position: int, replaced: Sequence[int]) -> int:
    """Return the bucket of a position, of those that are left.

    ``replaced`` says of each bucket how many were left when it was removed, or ``KEPT``: the
    bucket of that number, as they then stood, takes part of its keys.
    """
    bucket = jump_back(position, len(replaced))
    while (left := replaced[bucket]) != KEPT:
        bucket = drawn(other_seed(position), bucket) * left >> 64
        while replaced[bucket] >= left:
            bucket = replaced[bucket]
    return bucket


class MementoLookup(Placer):
    """Find the bucket of a position among those left; see native/memento.c for its twin."""

    __slots__ = ("_index_of", "_replaced")

    def _arm(self, replaced: array[int], index_of: array[int], order: Sequence[Node]) -> None:
        """Take how many buckets each removed one left, each one's place, and the order."""
        self._replaced = replaced
        self._index_of = index_of
        self._order = order

    def _index(self, position: int) -> int:
        return self._index_of[memento(position, self._replaced)]
