"""The two ways to place accounts: by the ring, or (to compare with) by hash modulo n."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Protocol

from concordant.placement import HashRing, Node, xxh64


class Placing(Protocol):
    """What the bank asks of a placement."""

    def node(self, key: str) -> Node:
        """Return the owner of a key."""
        ...

    def fingerprint(self) -> str:
        """Return a text that is equal iff the placement is."""
        ...

    def to_json(self) -> str:
        """Return the placement as JSON."""
        ...


class Modulo:
    """hash(key) mod n over the nodes in order: the usual way without a ring."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes = sorted(nodes, key=lambda node: node.id)

    def node(self, key: str) -> Node:
        """Return the owner of a key."""
        return self._nodes[xxh64(key.encode()) % len(self._nodes)]

    def fingerprint(self) -> str:
        """Return the placement itself, which is short."""
        return self.to_json()

    def to_json(self) -> str:
        """Return the placement as JSON."""
        return json.dumps({"modulo": [node.id for node in self._nodes]})


def place(nodes: Sequence[Node], by_modulo: bool) -> Placing:
    """Return a placement over the nodes."""
    return Modulo(nodes) if by_modulo else HashRing(nodes)


def from_json(text: str) -> Placing:
    """Return the placement that `to_json` wrote."""
    content = json.loads(text)
    if "modulo" in content:
        return Modulo(Node(name) for name in content["modulo"])
    return HashRing.from_json(text)
