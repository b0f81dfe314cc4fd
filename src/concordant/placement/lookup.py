"""Look-ups on a table of points, in Python: what the kernel in C does, where there is none."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from concordant.errors import UsageError
from concordant.placement.hashing import key_position
from concordant.placement.keys import Key, check_count
from concordant.placement.nodes import Node
from concordant.placement.points import clockwise


class Lookup:
    """What a ring is derived from; see native/lookup.c for its twin."""

    __slots__ = ("__weakref__", "_index_of", "_order", "_owners", "_positions")

    def _arm(
        self,
        positions: array[int],
        owners: array[int],
        index_of: array[int],
        order: Sequence[Node],
    ) -> None:
        """Take the tables: the points, each slot's place in the order, and the order."""
        self._positions = positions
        self._owners = owners
        self._index_of = index_of
        self._order = order

    def node(self, key: Key, /) -> Node:
        """Return the node that owns ``key``.

        Raises UsageError when the ring is empty or the key is no str, bytes-like or int.
        """
        return self._order[self._index_of[self._slot(key)]]

    def nodes(self, key: Key, n: int) -> list[Node]:
        """Return the first ``n`` different nodes clockwise from ``key``, its owner first.

        A smaller ``n`` gives a prefix of a larger one. Zones are not looked at. Raises UsageError
        when the ring has fewer nodes than ``n``.
        """
        check_count(n, len(self._order))
        first = bisect_left(self._positions, key_position(key))
        slots = islice(clockwise(self._owners, first), n)
        return [self._order[self._index_of[slot]] for slot in slots]

    def index_many(self, keys: Iterable[Key], /) -> array[int]:
        """Return an array of the owners of many keys, each as its place in ``list(ring)``."""
        return array("i", [self._index_of[self._slot(key)] for key in _each(keys)])

    def node_many(self, keys: Iterable[Key], /) -> list[Node]:
        """Return the list of the owners of many keys."""
        return [self._order[index] for index in self.index_many(keys)]

    def _slot(self, key: Key) -> int:
        index = bisect_left(self._positions, key_position(key))
        try:
            # Past the last point this is index 0, otherwise ``index`` counted from the end.
            return self._owners[index - len(self._owners)]
        except IndexError:
            raise UsageError("cannot place a key on an empty ring; add a node first") from None


def _each(keys: Any) -> Iterable[Key]:
    """Return the keys as Python's own objects, whatever column they come in."""
    if isinstance(keys, str | bytes | bytearray):
        raise UsageError(f"{type(keys).__name__} is one key; pass a list of keys")
    # Of NumPy and the array module, of Arrow, of Polars.
    for name in ("tolist", "to_pylist", "to_list"):
        if (convert := getattr(keys, name, None)) is not None:
            keys = convert()
            break
    each: list[Key] = list(keys)
    if None in each:
        raise UsageError(f"key number {each.index(None)} is null; leave the nulls out")  # type: ignore[arg-type]
    return each
