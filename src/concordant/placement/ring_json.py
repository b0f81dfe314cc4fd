"""A ring as JSON text: small, ordered, and read back exactly or refused."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from concordant.errors import UsageError
from concordant.placement.nodes import Node
from concordant.placement.points import DEFAULT_POINTS

FORMAT = "concordant-ring/1"
HASH = "xxh64"
_RING_FIELDS = {"format", "hash", "points", "epoch", "fingerprint", "nodes"}
_NODE_FIELDS = {"id", "weight", "zone", "address"}


class LoadedRing(NamedTuple):
    """What a text says of a ring; points and epoch are checked by the ring itself."""

    nodes: list[Node]
    points: Any
    epoch: Any
    fingerprint: Any


def dump_ring(nodes: Iterable[Node], points: int, epoch: int, fingerprint: str) -> str:
    """Return the text of a ring; the same ring always gives the same text."""
    return json.dumps(
        {
            "format": FORMAT,
            "hash": HASH,
            "points": points,
            "epoch": epoch,
            "fingerprint": fingerprint,
            "nodes": [
                {
                    "id": node.id,
                    "weight": node.weight,
                    "zone": node.zone,
                    "address": node.address,
                }
                for node in nodes
            ],
        }
    )


def load_ring(text: str) -> LoadedRing:
    """Return what ``text`` says; only ``format``, ``nodes`` and each node's id must be there.

    Raises UsageError when it is not the JSON of a ring. Messages name fields, never values of
    addresses.
    """
    ring = _object(_parsed(text), "ring", _RING_FIELDS, {"format", "nodes"})
    if ring["format"] != FORMAT or ring.get("hash", HASH) != HASH:
        raise UsageError(
            f"cannot read a ring of format {ring['format']!r} and hash {ring.get('hash', HASH)!r}; "
            f"this version reads {FORMAT!r} and {HASH!r}"
        )
    if not isinstance(ring["nodes"], list):
        raise UsageError("the nodes of a ring's JSON must be a list of objects")
    return LoadedRing(
        nodes=[Node(**_object(entry, "node", _NODE_FIELDS, {"id"})) for entry in ring["nodes"]],
        points=ring.get("points", DEFAULT_POINTS),
        epoch=ring.get("epoch", 0),
        fingerprint=ring.get("fingerprint"),
    )


def _parsed(text: str) -> object:
    if not isinstance(text, str):
        raise UsageError(f"a ring is read from JSON text, not from {type(text).__name__}")
    try:
        return json.loads(text)
    except RecursionError:
        raise UsageError("cannot read the ring: its JSON is nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"cannot read the ring: it is not JSON ({error})") from error


def _object(value: object, what: str, known: set[str], needed: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"a {what} in JSON must be an object, not {type(value).__name__}")
    if not needed <= value.keys():
        raise UsageError(f"the {what} in JSON lacks {', '.join(sorted(needed - value.keys()))}")
    if not value.keys() <= known:
        unknown = ", ".join(sorted(map(repr, value.keys() - known)))
        raise UsageError(
            f"the {what} in JSON has unknown fields {unknown}; known: {', '.join(sorted(known))}"
        )
    return value
