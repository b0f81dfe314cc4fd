"""A placement as JSON text: small, ordered, and read back exactly or refused."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast

from concordant.errors import UsageError
from concordant.placement.hashing.named import XXH64
from concordant.placement.nodes import Node

if TYPE_CHECKING:
    from concordant.placement.base import Placement

Kind = TypeVar("Kind", bound="Placement")

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


def load(text: str, wanted: type[Kind] | None = None) -> Kind:
    """Return the placement that a text describes, which is one of the wanted class.

    Raises UsageError when it describes none. Messages name fields, never values of addresses.
    """
    return cast("Kind", from_object(parsed(text, "placement"), wanted))


def from_object(value: object, wanted: type[Placement] | None = None) -> Placement:
    """Return the placement that ``as_object`` described; raises UsageError otherwise."""
    said = json_object(value, "placement", {"format", "nodes"})
    kind = _wanted(_kind(said), wanted)
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


def _wanted(kind: type[Placement], wanted: type[Placement] | None) -> type[Placement]:
    """Return the class to make, the more special of the two."""
    if wanted is None or issubclass(kind, wanted):
        return kind
    if not issubclass(wanted, kind):
        raise UsageError(
            f"the JSON describes a {kind.__name__}, not a {wanted.__name__}; read it by"
            " Placement.from_json"
        )
    return wanted


def _kind(said: dict[str, Any]) -> type[Placement]:
    name = RING if said["format"] == RING_FORMAT else said.get("algorithm")
    if "algorithm" in said and name == RING:
        raise UsageError(
            f"a ring's JSON has format {RING_FORMAT!r} and no field 'algorithm'; drop the field,"
            " and write that format if it is a ring"
        )
    if said["format"] not in (FORMAT, RING_FORMAT):
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
        return json.loads(text, object_pairs_hook=_each_once)
    except _RepeatedFieldError as error:
        raise UsageError(
            f"cannot read the {what}: an object of its JSON has the field {error.args[0]!r} twice;"
            " leave one out"
        ) from None
    except RecursionError:
        raise UsageError(f"cannot read the {what}: its JSON is nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"cannot read the {what}: it is not JSON ({error})") from error


class _RepeatedFieldError(Exception):
    pass


def _each_once(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object that has these fields; JSON itself would let the last of a name win."""
    found = dict(fields)
    if len(found) < len(fields):
        names = [name for name, _ in fields]
        raise _RepeatedFieldError(next(name for name in found if names.count(name) > 1))
    return found


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
