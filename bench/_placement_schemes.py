"""Ways to place keys that are compared: ours, and those of other libraries.

Each is loaded when it is asked for, so that one that is not installed is named as missing and
keeps nobody else from being measured. Other libraries are used as their own documentation says,
and built anew for each change of the nodes: some keep stale points when they are changed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module, metadata
from typing import Any, NamedTuple

Weights = Mapping[str, float]

JOIN, LEAVE, REWEIGHT = "join", "leave", "reweight"
EVERY_CHANGE = frozenset((JOIN, LEAVE, REWEIGHT))


class Scheme(NamedTuple):
    """How one library builds a table for nodes with weights, changes it and asks it.

    ``traced`` says whether its memory comes from Python's allocator, which can be asked.
    """

    build: Callable[[Weights], Any]
    owners: Callable[[Any, Sequence[str]], list[str]]
    single: Callable[[Any], Callable[[str], Any]]
    batch: Callable[[Any], Callable[[Sequence[str]], Any]] | None = None
    change: Callable[[Any, Weights, Weights], Any] | None = None
    weighted: bool = True
    traced: bool = True

    def changed(self, table: Any, before: Weights, after: Weights) -> Any:
        return self.build(after) if self.change is None else self.change(table, before, after)


class Entrant(NamedTuple):
    """A scheme by its name; ``promises`` are the changes in which no unneeded key moves."""

    name: str
    load: Callable[[], Scheme]
    promises: frozenset[str] = frozenset()
    package: str = "concordant"


# --- ours -----------------------------------------------------------------------------------


def _with_nodes(table: Any, before: Weights, after: Weights) -> Any:
    from concordant.placement import Node

    return table.with_nodes(
        add=[Node(each, after[each]) for each in after if each not in before],
        remove=[each for each in before if each not in after],
        reweight={
            each: weight for each, weight in after.items() if before.get(each, weight) != weight
        },
    )


def _by_index(table: Any, keys: Sequence[str]) -> list[str]:
    ids = [node.id for node in table]
    return [ids[index] for index in table.index_many(keys)]


def _ours(name: str, **options: Any) -> Callable[[], Scheme]:
    def load() -> Scheme:
        placement = import_module("concordant.placement")
        if not hasattr(placement, name):
            raise ImportError(f"concordant.placement has no {name}")
        kind = getattr(placement, name)

        def build(weights: Weights) -> Any:
            return kind([placement.Node(*each) for each in weights.items()], **options)

        return Scheme(
            build=build,
            owners=_by_index,
            single=lambda table: table.node,
            batch=lambda table: table.index_many,
            change=_with_nodes,
        )

    return load


def _half_removed(name: str) -> Callable[[], Scheme]:
    """Twice the nodes, of which every other one was removed, in no particular order."""

    def load() -> Scheme:
        whole = _ours(name)()

        def build(weights: Weights) -> Any:
            extra = [f"{each}-gone" for each in weights]
            table = whole.build({**weights, **dict.fromkeys(extra, 1.0)})
            random.Random(1).shuffle(extra)
            for each in extra:
                table = table.with_nodes(remove=[each])
            return table

        return whole._replace(build=build)

    return load


def ring_of(points: int) -> Scheme:
    """Return our ring with so many points a node."""
    return _ours("HashRing", points=points)()


OURS = (
    Entrant("HashRing", _ours("HashRing"), EVERY_CHANGE),
    Entrant("Rendezvous", _ours("Rendezvous"), EVERY_CHANGE),
    Entrant("Jump", _ours("Jump"), frozenset((JOIN,))),
    Entrant("Maglev", _ours("Maglev")),
    Entrant("Slots", _ours("Slots"), EVERY_CHANGE),
    Entrant("Memento", _ours("Memento"), frozenset((JOIN, LEAVE))),
    Entrant("Memento, half removed", _half_removed("Memento"), frozenset((JOIN, LEAVE))),
    Entrant("ModuloRing", _ours("ModuloRing"), frozenset((JOIN, LEAVE))),
)

# --- peers ----------------------------------------------------------------------------------


def _one_by_one(single: Callable[[Any], Callable[[str], Any]]) -> Any:
    return lambda table, keys: list(map(single(table), keys))


def _uhashring(**options: Any) -> Callable[[], Scheme]:
    def load() -> Scheme:
        from uhashring import HashRing

        def build(weights: Weights) -> Any:
            return HashRing({each: int(weight) for each, weight in weights.items()}, **options)

        def single(table: Any) -> Any:
            return table.get_node

        return Scheme(build, _one_by_one(single), single)

    return load


def _tooz() -> Scheme:
    from tooz.hashring import HashRing

    def build(weights: Weights) -> Any:
        table = HashRing([each for each, weight in weights.items() if weight == 1])
        for each, weight in weights.items():
            if weight != 1:
                table.add_node(each, int(weight))
        return table

    def single(table: Any) -> Any:
        return lambda key: table.get_nodes(key.encode())

    def owners(table: Any, keys: Sequence[str]) -> list[str]:
        return [next(iter(table.get_nodes(key.encode()))) for key in keys]

    return Scheme(build, owners, single)


def _jump() -> Scheme:
    import jump
    from xxhash import xxh3_64_intdigest

    def build(weights: Weights) -> list[str]:
        return list(weights)

    def single(table: list[str]) -> Any:
        return lambda key: table[jump.hash(xxh3_64_intdigest(key.encode()), len(table))]

    return Scheme(build, _one_by_one(single), single, weighted=False)


def _clandestined() -> Scheme:
    from clandestined import RendezvousHash

    def build(weights: Weights) -> Any:
        return RendezvousHash(list(weights))

    def single(table: Any) -> Any:
        return table.find_node

    return Scheme(build, _one_by_one(single), single, weighted=False)


def _fastring() -> Scheme:
    from fastring import HashRing

    def build(weights: Weights) -> Any:
        table = HashRing()
        for each, weight in weights.items():
            table.add_node(each, int(weight))
        return table

    def single(table: Any) -> Any:
        return table.get_node

    def batch(table: Any) -> Any:
        return table.get_node_batch

    def owners(table: Any, keys: Sequence[str]) -> list[str]:
        placed: list[str] = table.get_node_batch(keys)
        return placed

    return Scheme(build, owners, single, batch, traced=False)


BASIS = "uhashring"
PEERS = (
    Entrant(BASIS, _uhashring(), package="uhashring"),
    Entrant("uhashring ketama", _uhashring(hash_fn="ketama"), package="uhashring"),
    Entrant("tooz", _tooz, package="tooz"),
    Entrant("jump-consistent-hash", _jump, package="jump-consistent-hash"),
    Entrant("clandestined", _clandestined, package="clandestined"),
    Entrant("fastring", _fastring, package="fastring"),
)


def loaded(entrants: Sequence[Entrant]) -> tuple[dict[Entrant, Scheme], dict[str, str]]:
    """Return the schemes that are there, and why each of the others is missing."""
    found: dict[Entrant, Scheme] = {}
    missing: dict[str, str] = {}
    for entrant in entrants:
        try:
            found[entrant] = entrant.load()
        except ImportError as error:
            missing[entrant.name] = str(error)
    return found, missing


def versions(entrants: Sequence[Entrant]) -> dict[str, str]:
    """Return the installed version of each library among the entrants."""
    return {each: metadata.version(each) for each in sorted({e.package for e in entrants})}
