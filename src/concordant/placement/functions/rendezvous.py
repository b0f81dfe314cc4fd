"""Rendezvous hashing, weighted (Thaler and Ravishankar, 1998)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from math import gcd
from typing import Any, ClassVar, Self

from concordant.placement.base import Placement, checked_epoch
from concordant.placement.digest import digest_of
from concordant.placement.hashing.xxh64 import xxh64
from concordant.placement.kernel_lookups import RendezvousLookup
from concordant.placement.keys import Key, check_count
from concordant.placement.members import changed_nodes
from concordant.placement.nodes import Node, weight_units


class Rendezvous(RendezvousLookup, Placement):
    """Place each key on the node with the best score for it.

    The shares are exact but for chance: nothing is left to how points fall. A change moves keys
    to or from the changed node only, in proportion to the weights, and those of a node that
    leaves spread evenly over the others. A look-up takes time in proportion to the nodes, so
    this suits some hundreds of them.

    Weights count in millionths, rounded, at least one; from 0.000001 to 1 000 000. Raises
    UsageError for others, or for two nodes of one id.
    """

    __slots__ = ("_epoch", "_fingerprint", "_nodes", "_order")

    algorithm: ClassVar[str] = "rendezvous"

    def __init__(self, nodes: Iterable[Node] = (), *, epoch: int = 0) -> None:
        self._epoch = checked_epoch(epoch)
        self._settle(changed_nodes({}, add=nodes))

    def _settle(self, nodes: dict[str, Node]) -> None:
        self._nodes = nodes
        self._fingerprint = None
        seeds = array("Q", [xxh64(node_id.encode("utf-8")) for node_id in nodes])
        units = array("Q", map(weight_units, nodes.values()))
        self._order = tuple(nodes.values())
        self._arm(seeds, units if len(set(units)) > 1 else array("Q"), self._order)

    def _after(self, nodes: dict[str, Node]) -> Self:
        placement = type(self).__new__(type(self))
        placement._epoch = self._epoch + 1
        placement._settle(nodes)
        return placement

    def nodes(
        self, key: Key, n: int, *, spread: str | None = None, exclude: Iterable[str | Node] = ()
    ) -> list[Node]:
        """Return the first ``n`` nodes of the key's preference list; see ``Placement.nodes``."""
        if spread is not None or exclude:
            return self._nodes_chosen(key, n, spread=spread, exclude=exclude)
        check_count(n, len(self._nodes))
        return [self._order[place] for place in self._best(self._position(key), n)]

    def _prefer(self, position: int) -> Iterator[Node]:
        return map(self._order.__getitem__, self._best(position, len(self._order)))

    def _digest(self) -> str:
        units = [weight_units(node) for node in self]
        common = gcd(*units)
        ids = (node.id.encode("utf-8") for node in self)
        weights = (b"%d" % (each // common) for each in units)
        return digest_of((b"rendezvous", b"xxh64", *ids, *weights))

    def _state(self) -> dict[str, Any]:
        return {}

    @classmethod
    def _from_state(cls, nodes: list[Node], state: dict[str, Any], epoch: int) -> Self:
        return cls(nodes, epoch=epoch)
