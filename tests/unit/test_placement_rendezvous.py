"""Rendezvous hashing's whole numbers: exact, monotone, and fair to the lightest."""

from __future__ import annotations

from array import array
from decimal import Decimal, localcontext
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.errors import UsageError
from concordant.placement import Node, Rendezvous
from concordant.placement.functions.rendezvous_lookup import best, distance, log_table, ranked
from concordant.placement.hashing.mixing import MASK, mix

ONE = 1 << 48


def test_the_logarithms_are_exact_and_ascend() -> None:
    with localcontext() as context:
        context.prec = 50
        exact = [int((1 + Decimal(at) / 1024).ln() / Decimal(2).ln() * ONE) for at in range(1024)]
    assert list(log_table()) == [*exact, ONE]
    assert all(one < two for one, two in pairwise(log_table()))


def exact_distance(number: int) -> Decimal:
    with localcontext() as context:
        context.prec = 50
        return (Decimal(64) - Decimal(number + 1).ln() / Decimal(2).ln()) * ONE


EDGES = [
    0,
    *(edge + step for edge in (1, 2, 1023, 1024, 1 << 32, 1 << 63) for step in (-1, 0, 1)),
    *(MASK - step for step in (0, 1, 2, 1 << 20, 1 << 53)),
]
numbers = st.integers(0, MASK) | st.integers(0, 3000) | st.integers(MASK - 3000, MASK)


def check_distance(number: int) -> None:
    # A chord lies below the logarithm by no more than an eighth of its square over the curvature.
    away = Decimal(distance(number)) - exact_distance(number)
    assert -2 <= away <= ONE / 1024**2 / 5


@pytest.mark.parametrize("number", EDGES)
def test_distances_at_the_edges(number: int) -> None:
    check_distance(number)
    assert (distance(0), distance(MASK)) == (64 * ONE, 0)
    # The largest numbers are told apart only by themselves, never the wrong way.
    assert distance(number) >= distance(min(MASK, number + 1)) >= 0


@given(numbers, numbers)
def test_distances_are_those_of_the_logarithm_and_never_grow(one: int, other: int) -> None:
    check_distance(one)
    assert distance(min(one, other)) >= distance(max(one, other))


@given(
    st.integers(0, MASK),
    st.lists(st.tuples(st.integers(0, MASK), st.integers(1, 10**12)), min_size=1, max_size=6),
    st.booleans(),
)
def test_the_owner_is_the_first_of_the_list(
    position: int, nodes: list[tuple[int, int]], equal: bool
) -> None:
    nodes = [*nodes, nodes[0]]  # a tie, which the first wins
    seeds = array("Q", [seed for seed, _ in nodes])
    units = array("Q", [] if equal else [unit for _, unit in nodes])
    order = ranked(position, seeds, units)
    assert best(position, seeds, units) == order[0]
    assert sorted(order) == list(range(len(nodes)))
    assert order.index(0) < order.index(len(nodes) - 1)
    # A list without some node is the list of the others.
    without = [place for place in order if place]
    rest = ranked(position, seeds[1:], units[1:])
    assert [place + 1 for place in rest] == without


def unmixed(number: int) -> int:
    """Return what is mixed to a number, step by step undone."""
    number ^= number >> 31 ^ number >> 62
    number = number * pow(0x94D049BB133111EB, -1, MASK + 1) & MASK
    number ^= number >> 27 ^ number >> 54
    number = number * pow(0xBF58476D1CE4E5B9, -1, MASK + 1) & MASK
    return number ^ number >> 30 ^ number >> 60


def test_of_equal_quotients_the_larger_number_wins_then_the_smaller_id() -> None:
    # So close together that their distances are one, but for the light node in their midst.
    for numbers, expected in (([7, 9, 0, 8], [1, 3, 0, 2]), ([8, 8, 9, 8], [0, 1, 3, 2])):
        drawn = [MASK - (1 << 40) + number for number in numbers]
        assert len({distance(number) for number in drawn}) == 1
        seeds = array("Q", [unmixed(number) ^ 77 for number in drawn])
        units = array("Q", [5, 5, 4, 5])
        assert ranked(77, seeds, units) == expected
        assert best(77, seeds, units) == expected[0]
        assert ranked(77, seeds, array("Q"))[0] == best(77, seeds, array("Q"))
        assert [mix(seed ^ 77) for seed in seeds] == drawn


def test_the_heavier_of_two_wins_in_proportion() -> None:
    seeds = array("Q", [1, 2])
    random = Random(3)
    keys = [random.getrandbits(64) for _ in range(20_000)]
    for units in ([3, 1], [1, 1000], [999_999, 1_000_000]):
        share = sum(best(key, seeds, array("Q", units)) == 0 for key in keys) / len(keys)
        expected = units[0] / sum(units)
        assert share == pytest.approx(expected, abs=5 * (expected * (1 - expected) / 20_000) ** 0.5)


def test_weights_beyond_the_scale_are_refused() -> None:
    assert Rendezvous([Node("a", 1_000_000), Node("b", 1e-300)]).node("k").id == "a"
    with pytest.raises(UsageError, match="scale all weights down"):
        Rendezvous([Node("a", 1_000_000.1)])
    # Less than half a millionth is one.
    assert Rendezvous([Node("a"), Node("b", 1e-9)]) == Rendezvous([Node("a"), Node("b", 1e-6)])


def test_the_stream_is_splitmix() -> None:
    assert mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF
    assert len({mix(number) for number in range(5000)}) == 5000
