"""Slots: shares to within one, and the fewest moves that lead to them, against brute force."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import product
from math import ceil, floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concordant.placement import HashRing, Node, Slots
from concordant.placement.tables.assignment import rebalanced, targets

IDS = "abcde"
# The last two are far less than a slot's worth, and the others than they are.
UNITS = st.sampled_from([1, 2, 3, 5, 7, 1_000_000, 1_000_000_000])


def exact_shares(units: list[int], least: list[int], slots: int) -> list[Fraction]:
    """Return each share of the slots by weight, where none has less than it must have.

    Found from above: whoever has the least of its need gets just that, and the rest is shared.
    """
    fixed: dict[int, int] = {}
    while True:
        rest = [place for place in range(len(units)) if place not in fixed]
        left = slots - sum(fixed.values())
        whole = sum(units[place] for place in rest)
        shares = {place: Fraction(left * units[place], whole) for place in rest}
        short = [place for place in rest if shares[place] < least[place]]
        if not short:
            return [shares.get(place, Fraction(fixed.get(place, 0))) for place in range(len(units))]
        worst = min(short, key=lambda place: shares[place] / least[place])
        fixed[worst] = least[worst]


@st.composite
def needs(draw: st.DrawFn) -> tuple[list[int], list[int], list[int], int]:
    slots = draw(st.integers(1, 9))
    count = draw(st.integers(1, min(4, slots)))
    units = draw(st.lists(UNITS, min_size=count, max_size=count))
    least = [1] * count
    for _ in range(draw(st.integers(0, slots - count))):
        least[draw(st.integers(0, count - 1))] += 1
    held = draw(st.lists(st.integers(0, slots), min_size=count, max_size=count))
    return units, least, held, slots


@given(needs())
@settings(max_examples=100)
def test_targets_are_shares_rounded_with_the_fewest_moves(
    need: tuple[list[int], list[int], list[int], int],
) -> None:
    units, least, held, slots = need
    goal = targets(*need)
    shares = exact_shares(units, least, slots)
    assert sum(goal) == slots
    options = [sorted({floor(share), ceil(share)}) for share in shares]
    assert all(each in option for each, option in zip(goal, options, strict=True))
    assert all(each >= need for each, need in zip(goal, least, strict=True))
    possible = [option for option in product(*options) if sum(option) == slots]
    assert moves(goal, held) == min(moves(option, held) for option in possible)


def moves(goal: Iterable[int], held: Iterable[int]) -> int:
    """Return how many slots nodes give up, when they end with so many."""
    return sum(max(0, has - wants) for has, wants in zip(held, goal, strict=True))


@given(st.lists(st.integers(-1, 3), min_size=4, max_size=12), st.data())
@settings(max_examples=60)
def test_slots_are_handed_over_from_who_has_too_many_to_who_has_too_few(
    owners: list[int], data: st.DataObject
) -> None:
    pins = data.draw(st.dictionaries(st.integers(0, len(owners) - 1), st.integers(0, 3)))
    goal = [list(pins.values()).count(place) for place in range(4)]
    for _ in range(len(owners) - len(pins)):
        goal[data.draw(st.integers(0, 3))] += 1
    found = rebalanced(owners, goal, pins)
    assert [found.count(place) for place in range(4)] == goal
    assert all(found[slot] == place for slot, place in pins.items())
    settled = [pins.get(slot, place) for slot, place in enumerate(owners)]
    # Each node gives up exactly what it has too many of, and no slot changes for nothing.
    for place in range(4):
        given_up = sum(was == place != now for was, now in zip(settled, found, strict=True))
        assert given_up == max(0, settled.count(place) - goal[place])


weight_dicts = st.dictionaries(
    st.sampled_from(IDS), st.sampled_from([1.0, 0.001, 0.5, 2.0, 7.0, 1e-6, 1e6]), min_size=1
)


def limits(
    slots: int, weights: Mapping[str, float], pins: Mapping[int, str]
) -> dict[str, tuple[int, int]]:
    """Return the fewest and the most slots of each node."""
    ids = sorted(weights)
    units = [max(1, round(weights[node_id] * 10**6)) for node_id in ids]
    pinned = Counter(pins.values())
    shares = exact_shares(units, [max(1, pinned[node_id]) for node_id in ids], slots)
    pairs = [(floor(share), ceil(share)) for share in shares]
    return dict(zip(ids, pairs, strict=True))


@given(weight_dicts, st.lists(weight_dicts, min_size=1, max_size=4), st.data())
@settings(max_examples=60)
def test_every_change_leads_to_fair_shares_and_keeps_pins(
    first: dict[str, float], others: list[dict[str, float]], data: st.DataObject
) -> None:
    count = data.draw(st.integers(12, 40))
    some_pins = st.dictionaries(
        st.integers(0, count - 1), st.sampled_from(sorted(first)), max_size=6
    )
    pins = data.draw(some_pins)
    placement = Slots([Node(*pair) for pair in first.items()], count, pins=pins)
    weights = first
    for other in [first, *others]:
        wanted = {**{node_id: weights[node_id] for node_id in set(pins.values())}, **other}
        new = placement.with_nodes(
            add=[Node(*pair) for pair in wanted.items() if pair[0] not in weights],
            remove=weights.keys() - wanted.keys(),
            reweight={each: wanted[each] for each in weights.keys() & wanted.keys()},
        )
        fair = limits(count, wanted, pins)
        loads = Counter(new.owners)
        assert all(low <= loads[node_id] <= high for node_id, (low, high) in fair.items())
        assert sum(loads.values()) == count
        assert all(new.owners[slot] == node_id for slot, node_id in pins.items())
        held = Counter(placement.owners)
        least = min(
            sum(max(0, now - held[node_id]) for node_id, now in zip(fair, option, strict=True))
            for option in product(*(sorted({*pair}) for pair in fair.values()))
            if sum(option) == count
        )
        changed = sum(a != b for a, b in zip(placement.owners, new.owners, strict=True))
        assert changed == least
        placement, weights = new, wanted
    free = placement.with_pins({})
    assert free.pins == {}
    assert all(
        low <= Counter(free.owners)[each] <= high
        for each, (low, high) in limits(count, weights, {}).items()
    )


@given(weight_dicts)
@settings(max_examples=20)
def test_from_scratch_slots_go_where_a_ring_puts_them_as_long_as_there_is_room(
    weights: dict[str, float],
) -> None:
    count = 60
    placement = Slots([Node(*pair) for pair in weights.items()], count)
    most = max(weights.values())
    ring = HashRing(Node(node_id, weight / most) for node_id, weight in weights.items())
    wanted = [ring.node(slot).id for slot in range(count)]
    held, goal = Counter(wanted), Counter(placement.owners)
    astray = sum(a != b for a, b in zip(wanted, placement.owners, strict=True))
    assert astray == sum(max(0, goal[node_id] - held[node_id]) for node_id in weights)
    # Only proportions count.
    assert (
        placement == Slots([Node(each, weight / 2) for each, weight in weights.items()], count)
        or min(weights.values()) < 1e-5
    )


@pytest.mark.parametrize("nodes", [1, 10, 100, 1000])
def test_the_usual_slots_are_shared_to_within_one(nodes: int) -> None:
    placement = Slots(Node(f"node-{number}") for number in range(nodes))
    loads = Counter(placement.owners).values()
    assert max(loads) - min(loads) <= 1
    assert max(loads) * nodes / 65536 <= 1.02
    grown = placement.with_nodes(add=[Node("new")])
    changed = {
        (was, now) for was, now in zip(placement.owners, grown.owners, strict=True) if was != now
    }
    assert {now for _, now in changed} == {"new"}


def moved_between(old: Slots, new: Slots) -> Counter[tuple[str, str]]:
    pairs = zip(old.owners, new.owners, strict=True)
    return Counter((one, other) for one, other in pairs if one != other)


def test_rounding_favours_the_node_that_changed() -> None:
    old = Slots([Node("n0", 1), Node("n1", 9), Node("n2", 28)], 21)
    assert {to for _, to in moved_between(old, old.with_nodes(add=[Node("z", 3)]))} == {"z"}


@given(
    st.lists(st.integers(1, 30), min_size=2, max_size=6),
    st.integers(8, 64),
    st.one_of(st.none(), st.integers(1, 30)),
)
@settings(max_examples=60)
def test_slots_move_between_others_only_where_the_changed_node_cannot_take_or_give_more(
    weights: list[int], slots: int, joins: int | None
) -> None:
    old = Slots([Node(f"n{at}", weight) for at, weight in enumerate(weights)], slots)
    if joins is None:
        changed = "n0"
        new = old.with_nodes(reweight={"n0": weights[0] + 7})
    else:
        changed = "z"
        new = old.with_nodes(add=[Node("z", joins)])
    astray = [pair for pair in moved_between(old, new) if changed not in pair]
    held = Counter(new.owners)
    whole = sum(node.weight for node in new)
    share = Fraction(slots) * Fraction(new.nodes_by_id[changed].weight) / Fraction(whole)
    # Least slots that nodes must have take from the shares of all.
    least = any(held[node.id] == 1 for node in new)
    assert not astray or least or held[changed] == ceil(share)
