"""Finding the owners of keys, in Python: what all placements have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from concordant.errors import UsageError
from concordant.placement.hashing.xxh64 import key_position
from concordant.placement.keys import Key
from concordant.placement.nodes import Node


class Placer(ABC):
    """Find the owners of keys; what finds the owner of a position is derived from it.

    See native/placer.c for its twin.
    """

    __slots__ = ("__weakref__", "_order")

    _order: Sequence[Node]

    @abstractmethod
    def _index(self, position: int) -> int:
        """Return the place in the order of the node that owns a position; there is one."""

    # A look-up that calls Python less is a look-up that takes less time.
    _position = staticmethod(key_position)

    if TYPE_CHECKING:

        def _nodes_chosen(
            self,
            key: Key,
            n: int,
            *,
            spread: str | None = None,
            exclude: Iterable[str | Node] = (),
        ) -> list[Node]: ...

    def node(self, key: Key, /) -> Node:
        """Return the node that owns ``key``.

        Raises UsageError when there is no node, or the key is no str, bytes-like or int.
        """
        return self._order[self._place(key)]

    def index_many(self, keys: Iterable[Key], /) -> array[int]:
        """Return an array of the owners of many keys, each as its place in the order of ids."""
        return array("i", [self._place(key) for key in each_key(keys)])

    def node_many(self, keys: Iterable[Key], /) -> list[Node]:
        """Return the list of the owners of many keys."""
        return [self._order[index] for index in self.index_many(keys)]

    def _place(self, key: Key) -> int:
        position = self._position(key)
        if not self._order:
            raise UsageError("cannot place a key without nodes; add a node first")
        return self._index(position)


def each_key(keys: Any) -> list[Key]:
    """Return the keys as Python's own objects, whatever column they come in.

    Raises UsageError for one key, for what is no iterable, and for a null among the keys.
    """
    if isinstance(keys, str | bytes | bytearray | memoryview):
        raise _one_key(keys)
    given = _converted(keys)
    try:
        iterator = iter(given)
    except TypeError:
        raise UsageError(
            "keys must be a list, an array, a column or another iterable of keys, "
            f"not {type(keys).__name__}"
        ) from None
    each: list[Key] = list(iterator)
    # Not ``None in each``, which asks what is no key whether it equals None.
    for number, key in enumerate(each):
        if key is None:
            raise UsageError(f"key number {number} is null; leave the nulls out")
    return each


def _converted(keys: Any) -> Any:
    # Of NumPy and the array module, of Arrow, of Polars.
    for name in ("tolist", "to_pylist", "to_list"):
        if (convert := getattr(keys, name, None)) is not None:
            converted = convert()
            if not isinstance(converted, list):
                # An array without dimensions gives its item.
                raise _one_key(keys)
            return converted
    return keys


def _one_key(keys: object) -> UsageError:
    return UsageError(f"{type(keys).__name__} is one key; pass a list of keys")
