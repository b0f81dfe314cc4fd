"""Rendezvous hashing's scores in whole numbers, and look-ups by them in Python.

Each node turns a position into 64 bits that no other node has a say in. Equal weights: the
largest number wins. Else, with u the number as a fraction of 2**64, the node with the smallest
-log(u) / weight wins, which gives each node its weight's share (Schindelhauer and Schomaker,
2005). The logarithm is taken in whole numbers and the quotients are compared by multiplying
crosswise, so no platform's floating point can place a key elsewhere.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cmp_to_key, lru_cache

from concordant.placement.hashing.mixing import mix
from concordant.placement.nodes import Node
from concordant.placement.placer import Placer

TABLE_BITS = 10
FRACTION_BITS = 48
_BELOW = 63 - TABLE_BITS  # bits of a normalised number below the leading one and the table's index
_SQUARINGS = FRACTION_BITS


@lru_cache(maxsize=1)
def log_table() -> array[int]:
    """Return log2(1 + i / 1024) * 2**48, rounded down, for i from 0 to 1024.

    By repeated squaring, a bit each time: whole numbers alone, so the same everywhere.
    """
    size = 1 << TABLE_BITS
    precision = 96
    logs = array("Q")
    for index in range(size):
        number = (size + index) << (precision - TABLE_BITS)
        log = 0
        for _ in range(_SQUARINGS):
            number = number * number >> precision
            carry = number >> (precision + 1)
            log = log << 1 | carry
            number >>= carry
        logs.append(log)
    logs.append(1 << FRACTION_BITS)
    return logs


def distance(number: int) -> int:
    """Return -log2((number + 1) / 2**64) * 2**48, interpolated; it never grows with the number."""
    if number == (1 << 64) - 1:
        return 0
    number += 1
    exponent = number.bit_length() - 1
    mantissa = number << (63 - exponent) & ((1 << 63) - 1)
    logs = log_table()
    index, below = mantissa >> _BELOW, mantissa & ((1 << _BELOW) - 1)
    low = logs[index]
    log = low + ((logs[index + 1] - low) * below >> _BELOW)
    return ((64 - exponent) << FRACTION_BITS) - log


def best(position: int, seeds: array[int], units: array[int]) -> int:
    """Return the place of the node with the best score; see RendezvousLookup for the tables."""
    numbers = [mix(position ^ seed) for seed in seeds]
    if not units:
        # Of equal numbers the first, which is the smaller id's.
        return numbers.index(max(numbers))
    found = 0
    far = [distance(number) for number in numbers]
    for place in range(1, len(numbers)):
        away = far[place] * units[found] - far[found] * units[place]
        if away < 0 or (away == 0 and numbers[place] > numbers[found]):
            found = place
    return found


def ranked(position: int, seeds: array[int], units: array[int]) -> list[int]:
    """Return the places of all nodes, the best score first."""
    numbers = [mix(position ^ seed) for seed in seeds]
    places = range(len(numbers))
    if not units:
        return sorted(places, key=lambda place: -numbers[place])
    far = [distance(number) for number in numbers]

    def compare(one: int, other: int) -> int:
        away = far[one] * units[other] - far[other] * units[one]
        return away or numbers[other] - numbers[one]

    return sorted(places, key=cmp_to_key(compare))


class RendezvousLookup(Placer):
    """Find the node with the best score; see native/rendezvous.c for its twin."""

    __slots__ = ("_seeds", "_units")

    def _arm(self, seeds: array[int], units: array[int], order: Sequence[Node]) -> None:
        """Take each node's seed and weight, and the nodes, by ascending id.

        Weights are whole numbers; if all are alike there are none.
        """
        self._seeds = seeds
        self._units = units
        self._order = order

    def _index(self, position: int) -> int:
        return best(position, self._seeds, self._units)

    def _best(self, position: int, n: int) -> list[int]:
        """Return the places of the first ``n`` nodes for a position, the best score first."""
        return ranked(position, self._seeds, self._units)[:n]
