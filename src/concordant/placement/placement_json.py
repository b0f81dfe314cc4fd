"""A placement as JSON text: small, ordered, and read back exactly or refused."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

from concordant.errors import UsageError
from concordant.placement.hashing.named import XXH64
from concordant.placement.nodes import Node

if TYPE_CHECKING:
    from concordant.placement.base import Placement

RING_FORMAT = "concordant-ring/1"
FORMAT = "concordant-placement/1"
RING = "ring"

# Where each algorithm is; loaded when a text names it.
ALGORITHMS = {
    RING: ("concordant.placement.tables.ring", "HashRing"),
    "int-jump": ("concordant.placement.functions.jump", "IntJump"),
    "jump": ("concordant.placement.functions.jump", "Jump"),
    "libmemcached-ketama": ("concordant.placement.compat.libmemcached", "LibmemcachedKetama"),
    "maglev": ("concordant.placement.tables.maglev", "Maglev"),
    "memento": ("concordant.placement.functions.memento", "Memento"),
    "modulo-ring": ("concordant.placement.tables.modulo", "ModuloRing"),
    "pymemcache-rendezvous": ("concordant.placement.compat.pymemcache", "PymemcacheRendezvous"),
    "redis-cluster": ("concordant.placement.compat.redis_cluster", "RedisCluster"),
    "rendezvous": ("concordant.placement.functions.rendezvous", "Rendezvous"),
    "slots": ("concordant.placement.tables.slots", "Slots"),
    "uhashring-ketama": ("concordant.placement.compat.uhashring", "UhashringKetama"),
    "uhashring-md5": ("concordant.placement.compat.uhashring", "UhashringMd5"),
}

_COMMON_FIELDS = {"format", "algorithm", "hash", "epoch", "fingerprint", "nodes"}
_NODE_FIELDS = {"id", "weight", "zone", "address"}


def dump(placement: Placement) -> str:
    """Return the text of a placement; the same placement always gives the same text."""
    return json.dumps(as_object(placement))


def as_object(placement: Placement) -> dict[str, Any]:
    """Return what the text of a placement says."""
    head = {"format": FORMAT, "algorithm": placement.algorithm}
    return {
        **({"format": RING_FORMAT} if placement.algorithm == RING else head),
        "hash": placement.hash_name,
        **placement._state(),
        "epoch": placement.epoch,
        "fingerprint": placement.fingerprint(),
        "nodes": [
            {"id": node.id, "weight": node.weight, "zone": node.zone, "address": node.address}
            for node in placement
        ],
    }


def load(text: str) -> Placement:
    """Return the placement that a text describes.

    Raises UsageError when it describes none. Messages name fields, never values of addresses.
    """
    return from_object(parsed(text, "placement"))


def from_object(value: object) -> Placement:
    """Return the placement that ``as_object`` described; raises UsageError otherwise."""
    said = json_object(value, "placement", {"format", "nodes"})
    kind = _kind(said)
    json_object(said, "placement", set(), _COMMON_FIELDS | kind._fields)
    if not isinstance(said["nodes"], list):
        raise UsageError("the nodes of a placement's JSON must be a list of objects")
    nodes = [Node(**json_object(each, "node", {"id"}, _NODE_FIELDS)) for each in said["nodes"]]
    state = {name: said[name] for name in said if name in kind._fields}
    state["hash"] = said.get("hash", XXH64)
    placement = kind._from_state(nodes, state, said.get("epoch", 0))
    if state["hash"] != placement.hash_name:
        raise UsageError(
            f"the JSON says hash {state['hash']!r}, but its {placement.algorithm} places keys by "
            f"{placement.hash_name!r}"
        )
    if said.get("fingerprint") not in (None, placement.fingerprint()):
        raise UsageError(
            f"the placement's JSON says fingerprint {said['fingerprint']}, its nodes give "
            f"{placement.fingerprint()}; drop the field if the nodes were edited on purpose"
        )
    return placement


def _kind(said: dict[str, Any]) -> type[Placement]:
    name = RING if said["format"] == RING_FORMAT else said.get("algorithm")
    if said["format"] not in (FORMAT, RING_FORMAT) or ("algorithm" in said and name == RING):
        raise UsageError(
            f"cannot read a placement of format {said['format']!r}; this version reads "
            f"{FORMAT!r} and {RING_FORMAT!r}"
        )
    if not isinstance(name, str) or name not in ALGORITHMS:
        raise UsageError(
            f"no placement has the algorithm {name!r}; known: {', '.join(sorted(ALGORITHMS))}"
        )
    module, kind = ALGORITHMS[name]
    return getattr(import_module(module), kind)  # type: ignore[no-any-return]


def parsed(text: str, what: str) -> object:
    """Return what a JSON text says; raises UsageError when it is none."""
    if not isinstance(text, str):
        raise UsageError(f"a {what} is read from JSON text, not from {type(text).__name__}")
    try:
        return json.loads(text)
    except RecursionError:
        raise UsageError(f"cannot read the {what}: its JSON is nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"cannot read the {what}: it is not JSON ({error})") from error


def json_object(
    value: object, what: str, needed: set[str], known: set[str] | None = None
) -> dict[str, Any]:
    """Return a JSON object that has the needed fields, and none that is unknown."""
    if not isinstance(value, dict):
        raise UsageError(f"a {what} in JSON must be an object, not {type(value).__name__}")
    if not needed <= value.keys():
        raise UsageError(f"the {what} in JSON lacks {', '.join(sorted(needed - value.keys()))}")
    if known is not None and not value.keys() <= known:
        unknown = ", ".join(sorted(map(repr, value.keys() - known)))
        raise UsageError(
            f"the {what} in JSON has unknown fields {unknown}; known: {', '.join(sorted(known))}"
        )
    return value
