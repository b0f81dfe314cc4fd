"""What every placement can do, whatever its algorithm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from concordant.placement.choosing import chosen
from concordant.placement.hashing.xxh64 import key_position
from concordant.placement.keys import Key, check_count, check_integer
from concordant.placement.members import changed_nodes
from concordant.placement.nodes import Node
from concordant.placement.placement_json import dump, load

if TYPE_CHECKING:
    from concordant.placement.plan import Plan
    from concordant.placement.stats import Stats

# The largest integer that every reader of JSON keeps exact.
MAX_EPOCH = (1 << 53) - 1


class Placement(ABC):
    """Say which node owns a key, and which nodes follow it.

    A placement is an immutable snapshot: ``with_nodes`` makes a new one, its epoch one higher.
    It may be shared among threads, pickled, and used as a key: two placements are equal when
    they place every key alike, as their fingerprints tell. Where keys go depends on the ids and
    weights of the nodes, never on the order in which they are given, the process, the platform
    or Python's hash seed. Addresses, zones and the epoch are not placement.

    A placement may be empty, as a cluster may have lost its last member; only a look-up needs
    a node.
    """

    if not TYPE_CHECKING:
        # Said to Python alone: the slots of what is set here are in the classes derived from it.
        __slots__ = ()

    algorithm: ClassVar[str]
    """The name under which the algorithm is written down."""

    _fields: ClassVar[frozenset[str]] = frozenset()
    """What a text of it says beside what all of them do; the names in ``_state``."""

    if TYPE_CHECKING:
        _nodes: dict[str, Node]
        _epoch: int
        _fingerprint: str | None

    # --- what an algorithm says -------------------------------------------------------------

    @abstractmethod
    def node(self, key: Key, /) -> Node:
        """Return the node that owns ``key``.

        Raises UsageError when there is no node, or the key is no str, bytes-like or int.
        """

    @abstractmethod
    def index_many(self, keys: Iterable[Key], /) -> array[int]:
        """Return an array of the owners of many keys, each as its place in ``list(placement)``.

        The array is of C ints, one for each key, in their order. ``keys`` is a list or another
        iterable of keys, a NumPy array of text or objects, or an Arrow column of strings.
        """

    @abstractmethod
    def node_many(self, keys: Iterable[Key], /) -> list[Node]:
        """Return the list of the owners of many keys, given as for ``index_many``."""

    @abstractmethod
    def _prefer(self, position: int) -> Iterator[Node]:
        """Yield every node once, in the order in which a position prefers them."""

    @abstractmethod
    def _after(self, nodes: dict[str, Node]) -> Self:
        """Return the placement of these nodes, sorted by id, that follows this one."""

    @abstractmethod
    def _digest(self) -> str:
        """Return what is equal if and only if the preference list of every key is."""

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """Return what a text says of the placement beside nodes, epoch and fingerprint."""

    @classmethod
    @abstractmethod
    def _from_state(cls, nodes: list[Node], state: dict[str, Any], epoch: int) -> Self:
        """Return the placement that ``_state`` described; raises UsageError if there is none."""

    # --- what follows from it ---------------------------------------------------------------

    @property
    def hash_name(self) -> str:
        """Return the name of the hash by which keys become positions."""
        return "xxh64"

    def _position(self, key: Key) -> int:
        return key_position(key)

    @property
    def epoch(self) -> int:
        """Return how many changes led to this placement, to tell an older one from a newer."""
        return self._epoch

    @property
    def nodes_by_id(self) -> Mapping[str, Node]:
        """Return a read-only view of the nodes, in the order of their ids."""
        return MappingProxyType(self._nodes)

    def nodes(
        self, key: Key, n: int, *, spread: str | None = None, exclude: Iterable[str | Node] = ()
    ) -> list[Node]:
        """Return the first ``n`` nodes of the key's preference list, its owner first.

        They are distinct, and a smaller ``n`` gives a prefix of a larger one. With
        ``spread="zone"`` they are taken in rounds of which none takes two nodes of a zone, so
        that replicas stand in as many zones as there are, and as evenly as possible if there
        are fewer; nodes without a zone count as one zone. ``exclude`` names nodes to pass over,
        such as those known to be down, by themselves or by id; others than are here do no harm.

        Raises UsageError when fewer than ``n`` nodes are left.
        """
        if spread is not None or exclude:
            return self._nodes_chosen(key, n, spread=spread, exclude=exclude)
        check_count(n, len(self._nodes))
        return list(islice(self._prefer(self._position(key)), n))

    def _nodes_chosen(
        self, key: Key, n: int, *, spread: str | None = None, exclude: Iterable[str | Node] = ()
    ) -> list[Node]:
        preference = self._prefer(self._position(key))
        return chosen(preference, self._nodes, n, spread, exclude)

    def with_nodes(
        self,
        add: Iterable[Node] = (),
        remove: Iterable[str | Node] = (),
        reweight: Mapping[str, float] | None = None,
    ) -> Self:
        """Return a new placement with the change applied and the epoch one higher.

        What is to be removed is named by itself or by id, what is to be reweighted by id. Removing
        and adding one id in the same call replaces its node. Raises UsageError when an id to add
        is there already, or one to remove or reweight is not.
        """
        checked_epoch(self._epoch + 1)
        return self._after(changed_nodes(self._nodes, add, remove, reweight))

    def plan(self, new: Placement, replicas: int = 1, *, spread: str | None = None) -> Plan:
        """Return what moves where when ``new`` takes the place of this placement.

        With ``replicas`` above 1 it is about the first so many nodes of each key, chosen with
        ``spread`` as by ``nodes``. Raises UsageError when either has fewer nodes than that.
        """
        from concordant.placement.plan import plan_between

        return plan_between(self, new, replicas, spread)

    def stats(self, keys: Iterable[Key] | None = None) -> Stats:
        """Return how evenly keys are placed: all there could be, or those given."""
        from concordant.placement.stats import stats_of

        return stats_of(self, keys)

    def to_svg(self) -> str:
        """Return a drawing of who owns what, as the text of an SVG file."""
        from concordant.placement.drawing import draw_placement

        return draw_placement(self)

    def fingerprint(self) -> str:
        """Return 32 hexadecimal digits that are equal if and only if the placement is.

        Placement means the whole preference list of every key, so that two processes with the
        same fingerprint agree on each ``node`` and each ``nodes``. Two algorithms can only be
        equal where both are tables of points under one hash, such as HashRing and Slots; others
        have fingerprints of their own even if one node owns everything.
        """
        if self._fingerprint is None:
            self._fingerprint = self._digest()
        return self._fingerprint

    def to_json(self) -> str:
        """Return the placement as JSON text, addresses and fingerprint included."""
        return dump(self)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the placement that ``to_json`` wrote, checked against its fingerprint.

        ``Placement.from_json`` reads any algorithm, an algorithm's own only itself; that of a
        class derived from an algorithm's makes it one of that class. Raises UsageError for
        anything that is no such placement, fields that are unknown or repeated included: a
        misspelt weight must not place keys silently.
        """
        return load(text, cls)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, item: object) -> bool:
        if isinstance(item, Node):
            return self._nodes.get(item.id) == item
        return isinstance(item, str) and item in self._nodes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Placement):
            return NotImplemented
        return self.fingerprint() == other.fingerprint()

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    def __reduce__(self) -> tuple[object, ...]:
        return load, (self.to_json(), type(self))

    def __repr__(self) -> str:
        names = ", ".join(islice(map(repr, self._nodes), 4)) + (", ..." if len(self) > 4 else "")
        about = {**self._about(), "epoch": self._epoch}
        # To digest the whole table would be a lot of work for a line of a log.
        if self._fingerprint is not None:
            about["fingerprint"] = self._fingerprint
        told = " ".join(f"{name}={value}" for name, value in about.items())
        return f"<{type(self).__name__} of {len(self)} nodes [{names}] {told}>"

    def _about(self) -> dict[str, object]:
        """Return the settings that a repr shows."""
        return {}


def checked_epoch(epoch: int) -> int:
    """Return the epoch; raises UsageError unless it is one."""
    return check_integer(epoch, "epoch of a placement", 0, MAX_EPOCH)
