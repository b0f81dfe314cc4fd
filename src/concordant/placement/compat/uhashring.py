"""Placement as the package uhashring has it, version 2.5."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from concordant.placement.compat.continuum import uhashring_ketama_points, uhashring_md5_points
from concordant.placement.compat.ketama import (
    MD5,
    MD5_HALF,
    WORDS_PER_DIGEST,
    md5_half_position,
    md5_position,
)
from concordant.placement.compat.table import FollowedRing
from concordant.placement.keys import Key, check_integer
from concordant.placement.nodes import Node
from concordant.placement.tables.points import MAX_POINTS_PER_NODE


class UhashringKetama(FollowedRing):
    """Place keys as ``uhashring.HashRing(nodes, hash_fn="ketama")`` does.

    Owners and preference lists are those that uhashring has for the key as ``str``. To bytes it
    gives other nodes, since it hashes their repr; here they count as the text that they encode.
    An int is its decimal digits for both.

    A node's id is its name in uhashring, a weight a whole number. Weights count against each
    other, so a change may move keys between nodes that stay, and a weight far below the others'
    may get no keys at all. See FollowedRing for ``order``.

    Raises UsageError for other weights, for ``vnodes`` or ``replicas`` (points of a digest, from 1
    to 4) out of range, and for two nodes of one id.
    """

    __slots__ = ("_replicas", "_vnodes")

    algorithm: ClassVar[str] = "uhashring-ketama"
    _fields: ClassVar[frozenset[str]] = frozenset({"order", "vnodes", "replicas"})

    def __init__(
        self,
        nodes: Iterable[Node] = (),
        *,
        vnodes: int = 40,
        replicas: int = WORDS_PER_DIGEST,
        order: Sequence[str] | None = None,
        epoch: int = 0,
    ) -> None:
        self._vnodes = check_integer(vnodes, "vnodes", 1, MAX_POINTS_PER_NODE)
        self._replicas = check_integer(replicas, "replicas of a digest", 1, WORDS_PER_DIGEST)
        self._settle(nodes, order, epoch)

    def _points(self, nodes: list[Node]) -> list[tuple[int, str]]:
        return uhashring_ketama_points(nodes, self._vnodes, self._replicas)

    @property
    def hash_name(self) -> str:
        """Return the name of the hash by which keys become positions."""
        return MD5

    def _position(self, key: Key) -> int:
        return md5_position(key)

    def _settings(self) -> dict[str, Any]:
        return {"vnodes": self._vnodes, "replicas": self._replicas}


class UhashringMd5(FollowedRing):
    """Place keys as ``uhashring.HashRing(nodes)`` does, without a ``hash_fn``.

    Each node has ``vnodes`` points for each unit of its weight, so that a change moves keys to or
    from the changed node only. uhashring compares 128 bits of MD5, here the first 64 count: of
    2**64 keys less than one a point is placed otherwise. The rest is as for UhashringKetama.

    Raises UsageError for weights that are no whole numbers, for ``vnodes`` out of range, and for
    two nodes of one id.
    """

    __slots__ = ("_vnodes",)

    algorithm: ClassVar[str] = "uhashring-md5"
    _fields: ClassVar[frozenset[str]] = frozenset({"order", "vnodes"})

    def __init__(
        self,
        nodes: Iterable[Node] = (),
        *,
        vnodes: int = 160,
        order: Sequence[str] | None = None,
        epoch: int = 0,
    ) -> None:
        self._vnodes = check_integer(vnodes, "vnodes", 1, MAX_POINTS_PER_NODE)
        self._settle(nodes, order, epoch)

    def _points(self, nodes: list[Node]) -> list[tuple[int, str]]:
        return uhashring_md5_points(nodes, self._vnodes)

    @property
    def hash_name(self) -> str:
        """Return the name of the hash by which keys become positions."""
        return MD5_HALF

    def _position(self, key: Key) -> int:
        return md5_half_position(key)

    def _settings(self) -> dict[str, Any]:
        return {"vnodes": self._vnodes}
