"""Placement as pymemcache's HashClient has it: rendezvous hashing by MurmurHash3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Self

from concordant.errors import UsageError
from concordant.placement.base import Placement, checked_epoch
from concordant.placement.compat.murmur3 import BLOCK_BYTES, absorb, finish
from concordant.placement.digest import digest_of
from concordant.placement.keys import Key, check_integer, key_bytes
from concordant.placement.members import changed_nodes
from concordant.placement.nodes import Node
from concordant.placement.placer import Placer

Beginning = tuple[int, bytes, int]
"""Of all texts that are scored for a node: the state of the hash, bytes not in it, and the size."""


def low_bytes(text: str) -> bytes:
    """Return the low byte of each character, which is what pymemcache's hash reads of a text."""
    return text.encode("ascii") if text.isascii() else bytes(ord(each) & 255 for each in text)


def text_position(key: Key) -> int:
    """Return the number that stands for a key here: what is hashed of it, behind a byte 1.

    Scores are hashes of a node's name and the key together, so that no hash of the key alone
    decides. The number is as long as the key is, and no position in the hash space; where a
    migration wants one, in the steps of a plan, it is the XXH64 of the key that counts.
    """
    data = key_bytes(key)
    if not data.isascii():
        # Bytes that encode no text count as themselves.
        data = low_bytes(data.decode("utf-8", "surrogateescape"))
    return int.from_bytes(b"\1" + data, "big")


def text_of(position: int) -> bytes:
    """Return what is hashed of the key for which ``position`` stands."""
    return position.to_bytes((position.bit_length() + 7) // 8, "big")[1:]


class PymemcacheRendezvous(Placer, Placement):
    """Place keys as pymemcache's ``RendezvousHash`` does, the default of its ``HashClient``.

    The score of a node for a key is the MurmurHash3 of ``<id>-<key>`` in 32 bits; the highest
    wins, of equal ones the node with the greater id. A node's id is what HashClient calls its
    server: ``host:port``, or the path of a Unix socket. The owners are those of the key as
    ``str``, before HashClient puts its ``key_prefix`` in front of it. To bytes pymemcache gives
    other nodes, since it formats them as ``b'...'``; here they count as the text that they
    encode. Of characters beyond the first 256 it reads the low byte alone, and so does this.

    The preference list names the nodes in the order in which they would get the key if those
    before were removed. A look-up takes time in proportion to the nodes. ``seed`` is that of
    RendezvousHash.

    Raises UsageError for weights other than 1, which pymemcache does not know, for a seed beyond
    32 bits, and for two nodes of one id.
    """

    __slots__ = ("_beginnings", "_epoch", "_fingerprint", "_nodes", "_seed")

    algorithm: ClassVar[str] = "pymemcache-rendezvous"
    _fields: ClassVar[frozenset[str]] = frozenset({"seed"})

    def __init__(self, nodes: Iterable[Node] = (), *, seed: int = 0, epoch: int = 0) -> None:
        self._seed = check_integer(seed, "seed", 0, (1 << 32) - 1)
        self._epoch = checked_epoch(epoch)
        self._settle(changed_nodes({}, add=nodes))

    def _settle(self, nodes: dict[str, Node]) -> None:
        for node in nodes.values():
            if node.weight != 1.0:
                raise UsageError(
                    f"node {node.id!r} has weight {node.weight}, but pymemcache knows no weights;"
                    " leave it out, or use Rendezvous"
                )
        self._nodes = nodes
        self._fingerprint = None
        self._order: Sequence[Node] = tuple(nodes.values())
        self._beginnings = [_beginning(node_id, self._seed) for node_id in nodes]

    def _scores(self, position: int) -> list[int]:
        text = text_of(position)
        return [_score(beginning, text) for beginning in self._beginnings]

    def _index(self, position: int) -> int:
        scores = self._scores(position)
        # Nodes stand by ascending id, and of equal scores the last one wins.
        return len(scores) - 1 - scores[::-1].index(max(scores))

    def _prefer(self, position: int) -> Iterator[Node]:
        scores = self._scores(position)
        for place in sorted(range(len(scores)), key=lambda place: (-scores[place], -place)):
            yield self._order[place]

    def _position(self, key: Key) -> int:
        return text_position(key)

    def _after(self, nodes: dict[str, Node]) -> Self:
        return type(self)(nodes.values(), seed=self._seed, epoch=self._epoch + 1)

    def _digest(self) -> str:
        # With less than two nodes there is nothing that the seed decides.
        seed = b"%d" % (self._seed if len(self) > 1 else 0)
        ids = (node_id.encode("utf-8") for node_id in self._nodes)
        return digest_of((self.algorithm.encode("ascii"), seed, *ids))

    def _state(self) -> dict[str, Any]:
        return {"seed": self._seed}

    @classmethod
    def _from_state(cls, nodes: list[Node], state: dict[str, Any], epoch: int) -> Self:
        return cls(nodes, seed=state.get("seed", 0), epoch=epoch)

    def _about(self) -> dict[str, object]:
        return {"seed": self._seed}


def _beginning(node_id: str, seed: int) -> Beginning:
    name = low_bytes(f"{node_id}-")
    whole = len(name) - len(name) % BLOCK_BYTES
    return absorb(seed, name[:whole]), name[whole:], len(name)


def _score(beginning: Beginning, text: bytes) -> int:
    state, rest, size = beginning
    data = rest + text
    whole = len(data) - len(data) % BLOCK_BYTES
    return finish(absorb(state, data[:whole]), data[whole:], size + len(text))
