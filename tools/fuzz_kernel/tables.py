"""Tables of points: looked up, refused, and edited."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from functools import partial
from random import Random
from typing import Any

from concordant.placement.kernel import native
from concordant.placement.nodes import Node
from concordant.placement.tables.points import PointTable, Stretch
from tests.placement_oracle import key_at
from tools.fuzz_kernel.drawing import (
    MASK,
    keys,
    lookups,
    outcome,
    overwrite,
    position,
    survives,
    table,
    wrong,
)


def looked_up(random: Random) -> None:
    """Find owners by the plain definition, at points and beside them."""
    positions, owners, _, nodes = tables = table(random)
    _, lookup = lookups(tables)
    asked = [position(random) for _ in range(30)]
    asked += [positions[random.randrange(len(positions))] for _ in range(30) if positions]
    asked += [each + by & MASK for each in asked[-9:] for by in (-1, 1)]
    if not positions:
        assert outcome(lambda: lookup.node("a")) is outcome(lambda: lookup.node_many(["a"]))
        return
    placed = lookup.index_many([key_at(each) for each in asked])
    for each, place in zip(asked, placed, strict=True):
        first = bisect_left(positions, each)
        around = [*owners[first:], *owners[:first]]
        assert place == around[0], (each, place)
        preferred = list(dict.fromkeys(around))
        key = key_at(each)
        assert lookup.node(key) is nodes[around[0]]
        count = random.randint(0, len(preferred))
        assert lookup.nodes(key, count) == [nodes[owner] for owner in preferred[:count]]
    # Nodes without a point: told, not waited for.
    survives(lambda: lookup.nodes("a", len(nodes)))
    survives(lambda: lookup.nodes(*keys(random, random.randrange(4))))
    survives(lambda: lookup.nodes(random.choice(keys(random, 3)), n=random.choice((1, -1, None))))


def armed(random: Random) -> None:
    """Arm with what is no table; then look up all the same, and write over what was given."""
    right = table(random, 60)
    points = list(right[0])
    given = [wrong(random, each) if random.random() < 0.4 else each for each in right]
    if random.random() < 0.1:
        given = given[: random.randrange(4)]
    lookup = native.Lookup()
    survives(lambda: lookup._arm(*given))
    overwrite(random, given)
    # On the points, where the cells cannot tell and what was given is read.
    asked = keys(random, 40) + [key_at(each) for each in points[:40]]
    random.shuffle(asked)
    survives(lambda: lookup.index_many(asked))
    survives(lambda: lookup.node_many(asked))
    for key in asked[:10]:
        survives(partial(lookup.node, key))
        survives(partial(lookup.nodes, key, random.randrange(20)))
    survives(lambda: lookup._arm(*right))


def _stretches(random: Random, most: int) -> list[Stretch]:
    ids = random.sample(range(500), random.randrange(6))
    made = []
    for slot, number in enumerate(ids):
        start = random.randrange(4)
        made.append(
            Stretch(
                f"node-{number}" + "ü" * (number % 3), slot, start, start + random.randrange(most)
            )
        )
    return made


def _ranks(id_of: dict[int, str]) -> array[int]:
    ranks = array("I", bytes(4 * (max(id_of, default=-1) + 1)))
    for rank, slot in enumerate(sorted(id_of, key=id_of.__getitem__)):
        ranks[slot] = rank
    return ranks


def edited(random: Random) -> None:
    """Add and remove points as the twin does."""
    there = _stretches(random, random.choice((5, 60)))
    id_of = {each.slot: each.node_id for each in there}
    before = PointTable().including([point for each in there for point in each.points()], id_of)
    leaving = [each for each in there if random.random() < 0.4]
    coming = [
        Stretch(each.node_id, each.slot, each.stop, each.stop + random.randrange(9))
        for each in there
        if each not in leaving
    ]
    slot = len(there)
    id_of[slot] = f"new-{random.randrange(99)}"
    coming.append(Stretch(id_of[slot], slot, 0, random.randrange(40)))
    expected = before.without(point for each in leaving for point in each.points()).including(
        [point for each in coming for point in each.points()], id_of
    )
    found = native.rearranged(before.positions, before.owners, leaving, coming, _ranks(id_of))
    assert found == (expected.positions, expected.owners)


class Reader:
    """A number that, when it is read, changes the list that it stands in."""

    def __init__(self, held: list[Any]) -> None:
        self.held = held

    def __index__(self) -> int:
        self.held.append(("late", 0, 0, 50))
        return 1


def misedited(random: Random) -> None:
    """Edit with what is no table, no list of stretches, or changes meanwhile."""
    positions, owners, index_of, _ = table(random, 40)
    coming: list[Any] = [tuple(each) for each in _stretches(random, 9)]
    leaving: list[Any] = [tuple(each) for each in _stretches(random, 9)]
    for part in (coming, leaving):
        if random.random() < 0.5:
            part.append(
                random.choice(
                    (
                        ("x" * random.randrange(400), 0, 0, 3),
                        ("x", random.choice((-1, 0, 2**31, 2**32, 2**70)), 0, 3),
                        ("x", 0, random.choice((-5, 0, 2**62)), random.choice((-5, 9, 2**63 - 1))),
                        ("x", 0, 0, Reader(part)),
                        (None, 0, 0, 3),
                        ("x", 0),
                        Node("x"),
                        None,
                    )
                )
            )
    ranks = array("I", range(random.choice((0, 1, len(index_of), 400))))
    given: list[Any] = [positions, owners, leaving, coming, ranks]
    if random.random() < 0.5:
        at = random.randrange(5)
        given[at] = wrong(random, given[at])
    survives(lambda: native.rearranged(*given))
