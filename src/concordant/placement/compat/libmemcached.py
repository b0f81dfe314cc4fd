"""Placement as libmemcached has it, and so pylibmc, PHP's Memcached and others built on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

from concordant.errors import UsageError
from concordant.placement.compat.continuum import libmemcached_points
from concordant.placement.compat.ketama import MD5, ONE_AT_A_TIME, position_by
from concordant.placement.compat.table import FollowedRing
from concordant.placement.keys import Key
from concordant.placement.nodes import Node

_HASHES = {"md5": MD5, "one-at-a-time": ONE_AT_A_TIME}


class LibmemcachedKetama(FollowedRing):
    """Place keys as libmemcached's consistent distributions do.

    ===================================================  ============  =================
    libmemcached's behaviours                            ``weighted``  ``hash``
    ===================================================  ============  =================
    ``KETAMA_WEIGHTED``                                  True          ``md5``
    ``KETAMA``, or ``DISTRIBUTION`` consistent           False         ``one-at-a-time``
    the same with ``HASH`` md5                           False         ``md5``
    the same, and a server was added with a weight       True          as above
    above 1
    ===================================================  ============  =================

    A node's id is ``host:port`` as the client was given it, ``[IPv6 address]:port``, or the path
    of a Unix socket; its points are named without the port where that is 11211. Weights are whole
    numbers up to 2**32 - 1. They count against each other, so a change may move keys between
    nodes that stay, and a weight far below the others' may get no keys at all.

    The owners are libmemcached's. What follows them in the preference list is the order of the
    points, whereas libmemcached keeps replicas on the next servers of its list. Servers that it
    ejects are to be left out of the nodes. See FollowedRing for ``order``.

    Raises UsageError for other ids, weights or hashes, and for two nodes of one id.
    """

    __slots__ = ("_hash", "_weighted")

    algorithm: ClassVar[str] = "libmemcached-ketama"
    _fields: ClassVar[frozenset[str]] = frozenset({"order", "weighted"})

    def __init__(
        self,
        nodes: Iterable[Node] = (),
        *,
        weighted: bool = True,
        hash: str = "md5",
        order: Sequence[str] | None = None,
        epoch: int = 0,
    ) -> None:
        if not isinstance(weighted, bool):
            raise UsageError(f"weighted must be True or False, not {weighted!r}")
        if hash not in list(_HASHES):
            raise UsageError(f"hash must be one of {', '.join(_HASHES)}, not {hash!r}")
        self._weighted = weighted
        self._hash = hash
        self._settle(nodes, order, epoch)

    def _points(self, nodes: list[Node]) -> list[tuple[int, str]]:
        heavy = next((node for node in nodes if node.weight != 1.0), None)
        if heavy and not self._weighted:
            raise UsageError(
                f"node {heavy.id!r} has weight {heavy.weight}, but libmemcached begins to weigh"
                " its points once a server is added with a weight above 1; pass weighted=True"
            )
        return libmemcached_points(nodes, weighted=self._weighted, digest=self._hash)

    @property
    def weighted(self) -> bool:
        """Return whether servers have points by their weights, or all the same number."""
        return self._weighted

    @property
    def hash_name(self) -> str:
        """Return the name of the hash by which keys become positions."""
        return _HASHES[self._hash]

    def _position(self, key: Key) -> int:
        return position_by(self.hash_name)(key)

    def _settings(self) -> dict[str, Any]:
        return {"weighted": self._weighted, "hash": self._hash}

    @classmethod
    def _from_state(cls, nodes: list[Node], state: dict[str, Any], epoch: int) -> Self:
        by_name = {name: given for given, name in _HASHES.items()}
        if not isinstance(state["hash"], str) or state["hash"] not in by_name:
            raise UsageError(
                f"libmemcached's ketama has no hash {state['hash']!r}; known: {', '.join(by_name)}"
            )
        return cls(
            nodes,
            weighted=state.get("weighted", True),
            hash=by_name[state["hash"]],
            order=state.get("order"),
            epoch=epoch,
        )
