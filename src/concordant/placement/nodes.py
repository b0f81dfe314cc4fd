"""Nodes: what keys are placed on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from concordant.errors import UsageError

MAX_ID_BYTES = 255
MAX_WEIGHT = 1_000_000


@dataclass(frozen=True, slots=True)
class Node:
    """Name one member of a placement, with the weight of its share.

    Only ``id`` and ``weight`` decide where keys go. ``zone`` and ``address`` travel along, so a
    node may get a new address without moving a key. The address is left out of the repr, since
    a URL may carry a password.

    Raises UsageError unless the id is 1 to 255 bytes of UTF-8 without NUL, the weight is finite
    and above 0, and zone and address are non-empty text or None.
    """

    id: str
    weight: float = 1.0
    zone: str | None = None
    address: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _check_id(self.id)
        _check_text(self.zone, f"zone of node {self.id!r}")
        _check_text(self.address, f"address of node {self.id!r}")
        object.__setattr__(self, "weight", _checked_weight(self.weight, self.id))


def _check_id(node_id: object) -> None:
    if not isinstance(node_id, str):
        raise UsageError(
            f"a node id must be text, not {type(node_id).__name__}; give a stable name"
        )
    try:
        size = len(node_id.encode("utf-8"))
    except UnicodeEncodeError:
        raise UsageError(f"node id {node_id!r} is not valid Unicode; remove surrogates") from None
    if not 1 <= size <= MAX_ID_BYTES:
        raise UsageError(f"a node id has 1 to {MAX_ID_BYTES} bytes of UTF-8, this one has {size}")
    # NUL separates the id from the number of a point.
    if "\0" in node_id:
        raise UsageError(f"node id {node_id!r} contains NUL; remove it")


def _check_text(text: object, what: str) -> None:
    # The text itself stays out of the messages: an address may hold a password.
    if text is None:
        return
    if not isinstance(text, str) or not text:
        raise UsageError(f"the {what} must be non-empty text or None")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"the {what} is not valid Unicode; remove surrogates") from None


def _checked_weight(weight: object, node_id: str) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise UsageError(
            f"the weight of node {node_id!r} must be a number, not {type(weight).__name__}"
        )
    try:
        number = float(weight)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and number > 0):
        raise UsageError(
            f"the weight of node {node_id!r} is {number}; give a finite number above 0"
        )
    return number


def weight_units(node: Node) -> int:
    """Return the weight in millionths, at least one; raises UsageError above 1 000 000.

    Whole numbers, for comparing shares exactly.
    """
    if node.weight > MAX_WEIGHT:
        raise UsageError(
            f"node {node.id!r} has weight {node.weight}, more than {MAX_WEIGHT}; scale all "
            "weights down"
        )
    return max(1, round(node.weight * 1_000_000))


def relative_weights(nodes: Iterable[Node]) -> list[float]:
    """Return the weights over a power of two that brings the greatest between 0.5 and 1.

    The quotients are what they were to the last bit, and sums of them never overflow. Only a
    weight that is less than 2**-1021 of the greatest loses digits, and may become 0.
    """
    weights = [node.weight for node in nodes]
    _, exponent = math.frexp(max(weights, default=1.0))
    return [math.ldexp(weight, -exponent) for weight in weights]


def check_alike(nodes: Iterable[Node], algorithm: str) -> None:
    """Raise UsageError unless all weights are alike, for algorithms that know equal shares only."""
    by_weight = {node.weight: node.id for node in nodes}
    if len(by_weight) > 1:
        (one_weight, one), (other_weight, other), *_ = by_weight.items()
        raise UsageError(
            f"{algorithm} gives all nodes equal shares, but {one!r} has weight {one_weight} and "
            f"{other!r} {other_weight}; use HashRing, Rendezvous or Slots for weights"
        )
