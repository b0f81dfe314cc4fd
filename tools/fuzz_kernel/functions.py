"""The placements that are functions of the position."""

from __future__ import annotations

from array import array
from random import Random
from typing import Any

from concordant.placement.functions.jump_lookup import JumpLookup
from concordant.placement.functions.memento_lookup import KEPT, MementoLookup
from concordant.placement.functions.rendezvous_lookup import RendezvousLookup
from concordant.placement.kernel import native
from tests.placement_oracle import key_at
from tools.fuzz_kernel.drawing import MASK, NODES, keys, overwrite, position, survives, wrong

TWINS: dict[str, tuple[Any, Any]] = {
    name: (twin, getattr(native, name))
    for name, twin in (
        ("JumpLookup", JumpLookup),
        ("MementoLookup", MementoLookup),
        ("RendezvousLookup", RendezvousLookup),
    )
    if hasattr(native, name)
}


def _tables(random: Random, name: str) -> tuple[Any, ...]:
    size = random.choice((1, 2, 3, random.randint(1, len(NODES))))
    nodes = NODES[:size]
    if name == "JumpLookup":
        return array("i", random.sample(range(size), size)), nodes
    if name == "MementoLookup":
        replaced = array("i", [KEPT]) * size
        for count, bucket in enumerate(random.sample(range(size), random.randrange(size)), start=1):
            replaced[bucket] = size - count
        return replaced, array("i", range(size)), nodes
    seeds = array("Q", [position(random) for _ in nodes])
    top = random.choice((2, 10**6, 10**12, MASK))
    units = array("Q", [random.randint(1, top) for _ in nodes if top > 2])
    return seeds, units, nodes


def alike(random: Random) -> None:
    """Place by the twin and by C."""
    name = random.choice(list(TWINS))
    one, other = (make() for make in TWINS[name])
    tables = _tables(random, name)
    for each in (one, other):
        each._arm(*tables)
    asked = [key_at(position(random)) for _ in range(40)]
    assert one.index_many(asked) == other.index_many(asked), (name, tables)
    assert one.node(asked[0]) is other.node(asked[0])
    if name == "RendezvousLookup":
        where, count = position(random), random.randint(0, len(tables[-1]))
        assert other._best(where, count) == one._best(where, count)


def armed(random: Random) -> None:
    """Arm with what is no table; then look up all the same."""
    name = random.choice(list(TWINS))
    lookup = TWINS[name][1]()
    tables = _tables(random, name)
    given = [wrong(random, each) if random.random() < 0.5 else each for each in tables]
    survives(lambda: lookup._arm(*given))
    overwrite(random, given)
    asked = keys(random, 40)
    survives(lambda: lookup.index_many(asked))
    survives(lambda: lookup.node(asked[0]))
    if name == "RendezvousLookup":
        survives(lambda: lookup._best(position(random), random.randint(-1, 400)))
