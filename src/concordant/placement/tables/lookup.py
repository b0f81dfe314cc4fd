"""Look-ups in Python: what the kernel in C does, where there is none."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import islice

from concordant.errors import UsageError
from concordant.placement.keys import Key, check_count
from concordant.placement.nodes import Node
from concordant.placement.placer import Placer
from concordant.placement.tables.points import clockwise


class Lookup(Placer):
    """Find owners on a table of points; see native/lookup.c for its twin."""

    __slots__ = ("_index_of", "_owners", "_positions", "_shift", "_starts")

    def _arm(
        self,
        positions: array[int],
        owners: array[int],
        index_of: array[int],
        order: Sequence[Node],
    ) -> None:
        """Take the tables: the points, each owner's place in the order, and the order."""
        self._positions = positions
        self._owners = owners
        self._index_of = index_of
        self._order = order
        self._shift, self._starts = _buckets(positions)

    def node(self, key: Key, /) -> Node:
        """Return the node that owns ``key``.

        Raises UsageError when there is no node, or the key is no str, bytes-like or int.
        """
        position = self._position(key)
        bucket, starts = position >> self._shift, self._starts
        index = bisect_left(self._positions, position, starts[bucket], starts[bucket + 1])
        try:
            # Past the last point this is index 0, otherwise ``index`` counted from the end.
            return self._order[self._index_of[self._owners[index - len(self._owners)]]]
        except IndexError:
            raise UsageError("cannot place a key without nodes; add a node first") from None

    def _index(self, position: int) -> int:
        bucket, starts = position >> self._shift, self._starts
        index = bisect_left(self._positions, position, starts[bucket], starts[bucket + 1])
        return self._index_of[self._owners[index - len(self._owners)]]

    def nodes(
        self, key: Key, n: int, *, spread: str | None = None, exclude: Iterable[str | Node] = ()
    ) -> list[Node]:
        """Return the first ``n`` different nodes clockwise from ``key``, its owner first.

        A smaller ``n`` gives a prefix of a larger one. With ``spread="zone"`` they are taken in
        rounds of which none takes two nodes of a zone; ``exclude`` names nodes to pass over.
        Raises UsageError when fewer than ``n`` nodes are left.
        """
        if spread is not None or exclude:
            return self._nodes_chosen(key, n, spread=spread, exclude=exclude)
        check_count(n, len(self._order))
        first = bisect_left(self._positions, self._position(key))
        slots = islice(clockwise(self._owners, first), n)
        return [self._order[self._index_of[slot]] for slot in slots]


def _buckets(positions: array[int]) -> tuple[int, array[int]]:
    """Return how far to shift a position to its bucket, and where the buckets' points begin.

    There are one to two buckets a point; behind the last stands the number of points.
    """
    bits = max(1, len(positions).bit_length())
    shift = 64 - bits
    starts = array("I")
    for index, position in enumerate(positions):
        missing = (position >> shift) + 1 - len(starts)
        if missing > 0:
            starts.extend([index] * missing)
    starts.extend([len(positions)] * ((1 << bits) + 1 - len(starts)))
    return shift, starts
