"""Jump consistent hash (Lamping and Veach, 2014, arXiv:1406.2294), and look-ups by it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator, Sequence

from concordant.placement.hashing.mixing import MASK, again
from concordant.placement.nodes import Node
from concordant.placement.placer import Placer

_MULTIPLIER = 2862933555777941757

# So many positions a bucket are tried for replicas.
TRIES = 8


def jump(position: int, buckets: int) -> int:
    """Return the bucket of a position, from 0 up to but not including ``buckets``.

    The doubles are IEEE, multiplied and divided once each, so every platform agrees.
    """
    bucket, following = -1, 0
    while following < buckets:
        bucket = following
        position = (position * _MULTIPLIER + 1) & MASK
        following = int((bucket + 1) * (float(1 << 31) / float((position >> 33) + 1)))
    return bucket


def each_once(
    position: int, buckets: Collection[int], bucket_of: Callable[[int], int]
) -> Iterator[int]:
    """Yield each of the buckets once, beginning with that of the position.

    The next ones are those of further positions; the few that have not come up after many
    tries follow in their order.
    """
    seen: set[int] = set()
    for attempt in range(TRIES * len(buckets)):
        bucket = bucket_of(again(position, attempt))
        if bucket not in seen:
            seen.add(bucket)
            yield bucket
            if len(seen) == len(buckets):
                return
    yield from (bucket for bucket in buckets if bucket not in seen)


class JumpLookup(Placer):
    """Find the bucket to which a position jumps; see native/jump.c for its twin."""

    __slots__ = ("_index_of",)

    def _arm(self, index_of: array[int], order: Sequence[Node]) -> None:
        """Take the place of each bucket's node in the order, and the order."""
        self._index_of = index_of
        self._order = order

    def _index(self, position: int) -> int:
        return self._index_of[jump(position, len(self._index_of))]
