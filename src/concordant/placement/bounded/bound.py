"""How much a node may have: its fair share times a bound, and no more than it can take."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from concordant.errors import UsageError
from concordant.placement.base import Placement
from concordant.placement.keys import check_integer

MAX_BOUND = 1000


def checked_bound(bound: float) -> Fraction:
    """Return the bound as written, 1.1 being eleven tenths; raises UsageError unless it is one.

    Below 1 not even an even spread would fit.
    """
    number: object = bound
    if (
        not isinstance(number, int | float)
        or isinstance(number, bool)
        or not 1 <= number <= MAX_BOUND
    ):
        raise UsageError(
            f"bound must be a number from 1 to {MAX_BOUND}, not {bound!r}; with 1.25 no node has "
            "more than a quarter above its fair share"
        )
    # Not the repr of a NumPy number, which names its type.
    return Fraction(number if isinstance(number, int) else repr(float(number)))


def checked_capacities(capacities: Mapping[str, int] | None) -> dict[str, int]:
    """Return what each node can take at most, by id; raises UsageError unless they are counts.

    Ids of nodes that are not there, or not yet, are kept.
    """
    if capacities is None:
        return {}
    given: object = capacities
    if not isinstance(given, Mapping):
        raise UsageError(f"capacities map ids to counts; {type(given).__name__} does not")
    for node_id, capacity in capacities.items():
        named: object = node_id
        if not isinstance(named, str):
            raise UsageError(f"capacities are by the id of a node, not by {named!r}")
        check_integer(capacity, f"the capacity of node {node_id!r}", 0, (1 << 63) - 1)
    return dict(capacities)


def checked_placement(placement: Placement) -> Placement:
    """Return the placement; raises UsageError unless it is one."""
    given: object = placement
    if not isinstance(given, Placement):
        raise UsageError(f"loads are bounded on a placement, not on {type(given).__name__}")
    return placement


def room(units: int, whole: int, count: int, bound: Fraction, most: int | None) -> int:
    """Return how many of ``count`` keys a node may have: its share times the bound, rounded up.

    ``units`` is its weight, and ``whole`` that of all nodes, so all of them together have room
    for at least ``count``, but for ``most``, what a node can take.
    """
    share = -(-bound.numerator * count * units // (bound.denominator * whole))
    return share if most is None else min(share, most)
