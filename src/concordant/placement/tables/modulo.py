"""The textbook's ring: one position a node, on a ring of a few hundred positions."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from concordant.errors import UsageError
from concordant.placement.base import checked_epoch
from concordant.placement.hashing.named import spread_out
from concordant.placement.keys import Key, check_integer, key_bytes
from concordant.placement.members import changed_nodes
from concordant.placement.nodes import Node, check_alike
from concordant.placement.tables.lookup import Lookup
from concordant.placement.tables.points import PointTable
from concordant.placement.tables.table import TablePlacement

DEFAULT_MODULUS = 360
DEFAULT_DIGEST = "md5"
MAX_MODULUS = 1 << 32
# Digests of a length that is chosen by whoever asks name no one number.
_DIGESTS = sorted(name for name in hashlib.algorithms_guaranteed if "shake" not in name)


class ModuloRing(Lookup, TablePlacement):
    """Place keys as textbooks draw it: to compare with, and to move away from.

    With h the digest of a key as a big-endian number, its position is ``(h mod p) + 1``; a node
    stands at the position of its id, and a key belongs to the first node at or after it. Of
    nodes at one position the smallest id owns it, and the others get nothing, which is likely:
    with 23 nodes on 360 positions two of them meet more often than not. Shares are as uneven as
    the gaps between a few random points. A change moves keys to or from the changed node only.

    ``hash`` is a digest of ``hashlib`` with a fixed length. Raises UsageError for another one,
    for a ``p`` beyond 1 to 2**32, for weights that differ, or for two nodes of one id.
    """

    __slots__ = ("_digest_name", "_epoch", "_fingerprint", "_modulus", "_nodes", "_slots", "_table")

    algorithm: ClassVar[str] = "modulo-ring"
    _fields: ClassVar[frozenset[str]] = frozenset({"p"})

    def __init__(
        self,
        nodes: Iterable[Node] = (),
        p: int = DEFAULT_MODULUS,
        hash: str = DEFAULT_DIGEST,
        *,
        epoch: int = 0,
    ) -> None:
        self._modulus = check_integer(p, "p of a modulo ring", 1, MAX_MODULUS)
        self._digest_name = checked_digest(hash)
        self._epoch = checked_epoch(epoch)
        self._settle(changed_nodes({}, add=nodes))

    def _settle(self, nodes: dict[str, Node]) -> None:
        check_alike(nodes.values(), "the modulo ring")
        table = PointTable()
        stands = sorted((self.position_of(node_id), node_id) for node_id in nodes)
        slot_of = {node_id: slot for slot, node_id in enumerate(nodes)}
        ends = (spread_out(position, self._modulus) - 1 for position, _ in stands)
        table.positions = array("Q", ends)
        table.owners = array("I", [slot_of[node_id] for _, node_id in stands])
        self._place_by(nodes, table, dict(enumerate(nodes.values())))

    @property
    def p(self) -> int:
        """Return the number of positions."""
        return self._modulus

    @property
    def hash_name(self) -> str:
        """Return the name of the hash by which keys become positions."""
        return f"mod-{self._digest_name}-{self._modulus}"

    def position_of(self, key: Key) -> int:
        """Return where a key or an id stands, from 1 to p."""
        return _residue(key, self._modulus, self._digest_name) + 1

    def _position(self, key: Key) -> int:
        return modulo_position(key, self._modulus, self._digest_name)

    def _after(self, nodes: dict[str, Node]) -> Self:
        return type(self)(nodes.values(), self._modulus, self._digest_name, epoch=self._epoch + 1)

    def _state(self) -> dict[str, Any]:
        return {"p": self._modulus}

    @classmethod
    def _from_state(cls, nodes: list[Node], state: dict[str, Any], epoch: int) -> Self:
        p = state.get("p", DEFAULT_MODULUS)
        name = state["hash"]
        digest = name.removeprefix("mod-").removesuffix(f"-{p}") if isinstance(name, str) else name
        return cls(nodes, p, digest, epoch=epoch)

    def _about(self) -> dict[str, object]:
        return {"p": self._modulus, "hash": self._digest_name}


def modulo_position(key: Key, modulus: int, digest: str) -> int:
    """Return a key's position in the hash space, of which each residue has an equal part."""
    return spread_out(_residue(key, modulus, digest), modulus)


def _residue(key: Key, modulus: int, digest: str) -> int:
    made = hashlib.new(digest, key_bytes(key), usedforsecurity=False).digest()
    return int.from_bytes(made, "big") % modulus


def readable_modulus(text: str) -> int:
    """Return the p that a hash's name ends with; raises UsageError if it is none."""
    digits = text.isascii() and text.isdigit() and len(text) <= 10
    return check_integer(int(text) if digits else text, "p of a modulo ring", 1, MAX_MODULUS)


def checked_digest(name: object) -> str:
    """Return the name of a digest; raises UsageError unless hashlib has it at a fixed length."""
    if name not in _DIGESTS:
        raise UsageError(f"hash must be one of {', '.join(_DIGESTS)}, not {name!r}")
    return str(name)
