"""A fixed number of slots, each of which is assigned to a node."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self

from concordant.errors import UsageError
from concordant.placement.base import checked_epoch
from concordant.placement.kernel_lookups import Lookup
from concordant.placement.keys import Key, check_integer
from concordant.placement.members import changed_nodes, named_ids
from concordant.placement.nodes import Node, weight_units
from concordant.placement.tables.assignment import rebalanced, targets
from concordant.placement.tables.ring import HashRing
from concordant.placement.tables.table import TablePlacement, evenly

DEFAULT_SLOTS = 65536
MAX_SLOTS = 1 << 20


class Slots(Lookup, TablePlacement):
    """Place keys by slots, of which each node has its weight's share to within one.

    Slot s of n holds the positions p with ``p * n >> 64 == s``. A change moves the fewest slots
    that lead to the new shares: none between nodes that stay with their weights, but where the
    rounding of a share asks for one. Every node has at least one slot. ``pins`` names nodes for
    some slots; they count as part of the nodes' shares, and stay until ``with_pins`` changes
    them.

    The placement depends on the changes that led to it: processes that are to agree must share
    it, as JSON, and not just the list of nodes. From scratch it follows from the nodes and pins
    alone: each slot goes where a ring would put it, as long as there is room.

    A change takes time in proportion to the slots. Weights count in millionths, as for
    Rendezvous. Raises UsageError for others, for two nodes of one id, more nodes than slots, or
    pins that name no slot or no node.
    """

    __slots__ = ("_count", "_epoch", "_fingerprint", "_nodes", "_pins", "_slots", "_table")

    algorithm: ClassVar[str] = "slots"
    _fields: ClassVar[frozenset[str]] = frozenset({"slots", "pins", "owners"})

    def __init__(
        self,
        nodes: Iterable[Node] = (),
        slots: int = DEFAULT_SLOTS,
        *,
        pins: Mapping[int, str] | None = None,
        epoch: int = 0,
    ) -> None:
        self._epoch = checked_epoch(epoch)
        self._count = check_integer(slots, "slots", 1, MAX_SLOTS)
        self._share_out(changed_nodes({}, add=nodes), None, {} if pins is None else pins, {})

    def _share_out(
        self,
        nodes: dict[str, Node],
        before: Sequence[str] | None,
        pins: Mapping[int, str],
        members: Mapping[str, Node],
    ) -> None:
        """Give each node its share, moving the fewest of the slots that ``members`` had before."""
        if len(nodes) > self._count:
            raise UsageError(f"{len(nodes)} nodes cannot share {self._count} slots; have more")
        self._pins = _checked_pins(pins, nodes, self._count)
        if not nodes:
            self._take(nodes, [])
            return
        place_of = {node_id: place for place, node_id in enumerate(nodes)}
        if before is None:
            owners = list(HashRing(_relative(nodes.values())).index_many(range(self._count)))
        else:
            owners = [place_of.get(node_id, -1) for node_id in before]
        pinned = {slot: place_of[node_id] for slot, node_id in self._pins.items()}
        changed = {
            place
            for place, node in enumerate(nodes.values())
            if node.id not in members or weight_units(members[node.id]) != weight_units(node)
        }
        self._take(nodes, _shared(list(nodes.values()), owners, pinned, changed))

    def _take(self, nodes: dict[str, Node], owners: Sequence[int]) -> None:
        """Take an assignment, which names the place of each slot's node."""
        self._place_by(nodes, evenly(array("I", owners)), dict(enumerate(nodes.values())))

    @property
    def slots(self) -> int:
        """Return the number of slots."""
        return self._count

    @property
    def pins(self) -> Mapping[int, str]:
        """Return a read-only view of the pins: the id of the node of each pinned slot."""
        return MappingProxyType(self._pins)

    @property
    def owners(self) -> list[str]:
        """Return the id of each slot's node, by slot; empty without nodes."""
        return [self._slots[place].id for place in self._table.owners]

    def slot(self, key: Key) -> int:
        """Return the slot that a key falls in, from 0 up to but not including ``slots``."""
        return self._position(key) * self._count >> 64

    def with_pins(self, pins: Mapping[int, str]) -> Self:
        """Return a new placement with these pins instead, and the epoch one higher."""
        return self._next(self._nodes, pins)

    def _after(self, nodes: dict[str, Node]) -> Self:
        gone = sorted({each for each in self._pins.values() if each not in nodes})
        if gone:
            raise UsageError(
                f"cannot remove node {gone[0]!r}: slots are pinned to it; call with_pins first"
            )
        return self._next(nodes, self._pins)

    def _next(self, nodes: dict[str, Node], pins: Mapping[int, str]) -> Self:
        placement = type(self).__new__(type(self))
        placement._epoch, placement._count = checked_epoch(self._epoch + 1), self._count
        owners = self.owners if self._nodes else None
        placement._share_out(nodes, owners, pins, self._nodes)
        return placement

    def _state(self) -> dict[str, Any]:
        return {
            "slots": self._count,
            "pins": [[slot, node_id] for slot, node_id in self._pins.items()],
            "owners": list(self._table.owners),
        }

    @classmethod
    def _from_state(cls, nodes: list[Node], state: dict[str, Any], epoch: int) -> Self:
        placement = cls.__new__(cls)
        pins = _pins_from(state.get("pins", []))
        count, owners = state.get("slots", DEFAULT_SLOTS), state.get("owners")
        if owners is None:
            return cls(nodes, count, pins=pins, epoch=epoch)
        members = changed_nodes({}, add=nodes)
        placement._epoch = checked_epoch(epoch)
        placement._count = check_integer(count, "slots", 1, MAX_SLOTS)
        placement._pins = _checked_pins(pins, members, count)
        placement._take(members, _checked_owners(owners, members, placement._pins, count))
        return placement

    @classmethod
    def assigned(
        cls, nodes: Iterable[Node], owners: Iterable[str | Node], *, epoch: int = 0
    ) -> Self:
        """Return the placement in which each slot has the owner that is listed for it.

        Owners are listed by slot, by themselves or by id; there are as many slots. Nothing is
        balanced until the nodes change. Raises UsageError when an owner is none of the nodes, or
        a node owns no slot.
        """
        members = changed_nodes({}, add=nodes)
        place_of = {node_id: place for place, node_id in enumerate(members)}
        ids = named_ids(owners, "owners")
        unknown = next((each for each in ids if each not in place_of), None)
        if unknown is not None:
            raise UsageError(f"a slot is assigned to {unknown!r}, which is none of the nodes")
        places = [place_of[each] for each in ids]
        return cls._from_state(
            list(members.values()), {"slots": len(places), "owners": places}, epoch
        )

    def _about(self) -> dict[str, object]:
        return {"slots": self._count, "pins": len(self._pins)}


def _relative(nodes: Iterable[Node]) -> list[Node]:
    """Return the nodes with weights of which the greatest is 1.0: a ring has points for those."""
    units = {node.id: weight_units(node) for node in nodes}
    most = max(units.values())
    return [Node(node_id, each / most) for node_id, each in units.items()]


def _shared(
    nodes: list[Node], owners: list[int], pins: dict[int, int], changed: set[int]
) -> list[int]:
    """Return the owners when each node has its share; -1 stands for a node that left."""
    held, pinned = [0] * len(nodes), [0] * len(nodes)
    for place in owners:
        if place >= 0:
            held[place] += 1
    for slot, place in pins.items():
        pinned[place] += 1
        if owners[slot] != place:
            held[place] += 1
            if owners[slot] >= 0:
                held[owners[slot]] -= 1
    goal = targets(
        [weight_units(node) for node in nodes],
        [max(1, each) for each in pinned],
        held,
        len(owners),
        changed,
    )
    return rebalanced(owners, goal, pins)


def _checked_pins(pins: Mapping[int, str], nodes: Mapping[str, Node], slots: int) -> dict[int, str]:
    if not isinstance(pins, Mapping):
        raise UsageError("pins must be a mapping of slots to ids of nodes")
    for slot, node_id in pins.items():
        check_integer(slot, "a pinned slot", 0, slots - 1)
        named: object = node_id
        if not isinstance(named, str) or named not in nodes:
            raise UsageError(f"slot {slot} is pinned to {node_id!r}, which is none of the nodes")
    checked = dict(sorted(pins.items()))
    without = len(nodes) - len(set(checked.values()))
    if len(checked) + without > slots:
        raise UsageError(
            f"{len(checked)} of {slots} slots are pinned, which leaves too few for the "
            f"{without} nodes that have none"
        )
    return checked


def _pins_from(value: object) -> dict[int, str]:
    pins: dict[int, str] = {}
    for pair in value if isinstance(value, list) else [None]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise UsageError("the pins in JSON must be a list of [slot, id]")
        slot, node_id = pair
        if type(slot) is not int or not isinstance(node_id, str) or slot in pins:
            raise UsageError("the pins in JSON must name each slot once, with the id of a node")
        pins[slot] = node_id
    return pins


def _checked_owners(
    owners: object, nodes: Mapping[str, Node], pins: Mapping[int, str], slots: int
) -> list[int]:
    if not isinstance(owners, list) or len(owners) != (slots if nodes else 0):
        raise UsageError("the owners of slots must be a list with a place in nodes for each slot")
    ids = list(nodes)
    if not all(type(place) is int and 0 <= place < len(ids) for place in owners):
        raise UsageError("each owner of a slot must be a place in the nodes, by ascending id")
    if idle := sorted(set(range(len(ids))) - set(owners)):
        raise UsageError(f"node {ids[idle[0]]!r} owns no slot; leave it out, or give it one")
    astray = next((slot for slot, each in pins.items() if ids[owners[slot]] != each), None)
    if astray is not None:
        raise UsageError(f"slot {astray} is pinned to another node than the one that owns it")
    return owners
