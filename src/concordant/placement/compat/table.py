"""What the placements that follow other libraries' tables share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from concordant.errors import UsageError
from concordant.placement.base import checked_epoch
from concordant.placement.digest import digest_of
from concordant.placement.keys import Key
from concordant.placement.members import changed_nodes
from concordant.placement.nodes import Node
from concordant.placement.tables.lookup import Lookup
from concordant.placement.tables.points import PointTable
from concordant.placement.tables.table import TablePlacement


class FollowedTable(Lookup, TablePlacement):
    """Place keys by a table that another library made, in which nodes may own nothing.

    Such nodes come last in every preference list, by ascending id.
    """

    __slots__ = ("_idle", "_nodes", "_slots", "_table")

    if TYPE_CHECKING:
        _idle: tuple[Node, ...]

    def _take(self, nodes: dict[str, Node], points: Iterable[tuple[int, str]]) -> None:
        """Take the nodes, and the points in the order of the ring."""
        slot_of = {node_id: slot for slot, node_id in enumerate(nodes)}
        table = PointTable()
        for position, node_id in points:
            table.positions.append(position)
            table.owners.append(slot_of[node_id])
        active = set(table.owners)
        self._idle = tuple(each for slot, each in enumerate(nodes.values()) if slot not in active)
        self._place_by(nodes, table, dict(enumerate(nodes.values())))

    def nodes(
        self, key: Key, n: int, *, spread: str | None = None, exclude: Iterable[str | Node] = ()
    ) -> list[Node]:
        """Return the first ``n`` nodes of the key's preference list, its owner first.

        They are distinct, and a smaller ``n`` gives a prefix of a larger one. With
        ``spread="zone"`` they are taken in rounds of which none takes two nodes of a zone;
        ``exclude`` names nodes to pass over. Raises UsageError when fewer than ``n`` are left.
        """
        return self._nodes_chosen(key, n, spread=spread, exclude=exclude)

    def _prefer(self, position: int) -> Iterator[Node]:
        yield from super()._prefer(position)
        yield from self._idle

    def _digest(self) -> str:
        digest = super()._digest()
        if not self._idle:
            return digest
        return digest_of([digest.encode(), *(node.id.encode("utf-8") for node in self._idle)])


class FollowedRing(FollowedTable):
    """Place keys by the points of another library's ring, which follow from nodes and their order.

    ``order`` lists the ids as the other library got its nodes, by ascending id unless given. It
    tells where points of two nodes fall together, and nothing else. ``with_nodes`` appends what
    is added.
    """

    __slots__ = ("_epoch", "_fingerprint", "_sequence")

    _fields: ClassVar[frozenset[str]] = frozenset({"order"})

    if TYPE_CHECKING:
        _sequence: tuple[str, ...]

    def _settle(self, nodes: Iterable[Node], order: Sequence[str] | None, epoch: int) -> None:
        """Take what a new placement was given."""
        self._epoch = checked_epoch(epoch)
        members = changed_nodes({}, add=nodes)
        self._sequence = tuple(members) if order is None else _checked_order(order, members)
        self._take(members, self._points([members[each] for each in self._sequence]))

    @abstractmethod
    def _points(self, nodes: list[Node]) -> list[tuple[int, str]]:
        """Return the points of the nodes, which come in the order of the other library."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Return the arguments, by name, with which a placement of other nodes is made alike."""

    @property
    def order(self) -> tuple[str, ...]:
        """Return the ids in the order in which the other library got the nodes."""
        return self._sequence

    def _after(self, nodes: dict[str, Node]) -> Self:
        stay = [node_id for node_id in self._sequence if node_id in nodes]
        come = [node_id for node_id in nodes if node_id not in self._nodes]
        make: Callable[..., Self] = type(self)
        return make(nodes.values(), order=[*stay, *come], epoch=self._epoch + 1, **self._settings())

    def _state(self) -> dict[str, Any]:
        said = {name: value for name, value in self._settings().items() if name in self._fields}
        return {**said, "order": list(self._sequence)}

    @classmethod
    def _from_state(cls, nodes: list[Node], state: dict[str, Any], epoch: int) -> Self:
        make: Callable[..., Self] = cls
        given = {name: value for name, value in state.items() if name in cls._fields}
        return make(nodes, epoch=epoch, **given)

    def _about(self) -> dict[str, object]:
        return self._settings()


def _checked_order(order: Sequence[str], nodes: dict[str, Node]) -> tuple[str, ...]:
    if not isinstance(order, list | tuple) or not all(isinstance(each, str) for each in order):
        raise UsageError("order must be a list of the ids of all nodes")
    if len(order) != len(nodes) or set(order) != nodes.keys():
        raise UsageError("order must name each node once, and no other")
    return tuple(order)
