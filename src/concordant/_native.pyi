from array import array
from collections.abc import Iterable, Sequence

from concordant.placement.keys import Key
from concordant.placement.nodes import Node

def xxh64(data: bytes, /) -> int: ...
def rearranged(
    positions: array[int],
    owners: array[int],
    leaving: list[tuple[bytes, int, int, int]],
    coming: list[tuple[bytes, int, int, int]],
    ranks: array[int],
    /,
) -> tuple[array[int], array[int]]: ...
def nothing(argument: object, /) -> None: ...

class Lookup:
    def _arm(
        self,
        positions: array[int],
        owners: array[int],
        index_of: array[int],
        order: Sequence[Node],
        /,
    ) -> None: ...
    def node(self, key: Key, /) -> Node: ...
    def nodes(
        self, key: Key, n: int, *, spread: str | None = None, exclude: Iterable[str | Node] = ()
    ) -> list[Node]: ...
    def index_many(self, keys: Iterable[Key], /) -> array[int]: ...
    def node_many(self, keys: Iterable[Key], /) -> list[Node]: ...
