from array import array
from collections.abc import Iterable, Sequence

from concordant.placement.keys import Key
from concordant.placement.nodes import Node
from concordant.placement.tables.points import Stretch

def xxh64(data: bytes, /) -> int: ...
def rearranged(
    positions: array[int],
    owners: array[int],
    leaving: list[Stretch],
    coming: list[Stretch],
    ranks: array[int],
    /,
) -> tuple[array[int], array[int]]: ...
def nothing(argument: object, /) -> None: ...

class Placer:
    def node(self, key: Key, /) -> Node: ...
    def index_many(self, keys: Iterable[Key], /) -> array[int]: ...
    def node_many(self, keys: Iterable[Key], /) -> list[Node]: ...

class Lookup(Placer):
    def _arm(
        self,
        positions: array[int],
        owners: array[int],
        index_of: array[int],
        order: Sequence[Node],
        /,
    ) -> None: ...
    def nodes(
        self, key: Key, n: int, *, spread: str | None = None, exclude: Iterable[str | Node] = ()
    ) -> list[Node]: ...

# Missing where the compiler has no integers of 128 bits.
class RendezvousLookup(Placer):
    def _arm(self, seeds: array[int], units: array[int], order: Sequence[Node], /) -> None: ...
    def _best(self, position: int, n: int, /) -> list[int]: ...

class JumpLookup(Placer):
    def _arm(self, index_of: array[int], order: Sequence[Node], /) -> None: ...

class MementoLookup(Placer):
    def _arm(
        self, replaced: array[int], index_of: array[int], order: Sequence[Node], /
    ) -> None: ...
