"""A plan read back from JSON, exactly or refused."""

from __future__ import annotations

from typing import Any

from concordant.errors import UsageError
from concordant.placement.choosing import ZONE
from concordant.placement.hashing.named import XXH64, position_by
from concordant.placement.keys import check_integer
from concordant.placement.placement_json import from_object, json_object
from concordant.placement.plan.asked import AskedPlan
from concordant.placement.plan.between import plan_between
from concordant.placement.plan.plan import FORMAT, Flow, Plan
from concordant.placement.plan.ranged import Cell, RangedPlan
from concordant.placement.tables.points import SPACE

_COMMON = {
    *("format", "old_fingerprint", "new_fingerprint", "replicas", "spread"),
    *("moved_share", "minimum_share", "matrix"),
}
_ZONES = ("old_zones", "new_zones")
_RANGED = _COMMON | {"hash", "ranges", *_ZONES}
_ASKED = _COMMON | {"old", "new"}
_RANGE = {"start", "end", "from", "to"}
_HEX = frozenset("0123456789abcdef")


def plan_from(value: object) -> Plan:
    """Return the plan that a JSON object says; shares follow from it, and are not read."""
    said = json_object(value, "plan", {"format", "old_fingerprint", "new_fingerprint"})
    if said["format"] != FORMAT:
        raise UsageError(
            f"cannot read a plan of format {said['format']!r}; this version reads {FORMAT!r}"
        )
    for name in ("old_fingerprint", "new_fingerprint"):
        _check_digits(said[name], name)
    if said.get("spread") not in (None, ZONE):
        raise UsageError("spread of a plan must be 'zone' or null")
    check_integer(said.get("replicas", 1), "replicas of a plan", 1, 1 << 20)
    return _ranged(said) if "ranges" in said else _asked(said)


def _check_digits(text: object, name: str) -> None:
    if not isinstance(text, str) or len(text) != 32 or not _HEX.issuperset(text):
        raise UsageError(f"{name} of a plan must be 32 hexadecimal digits")


def _ranged(said: dict[str, Any]) -> RangedPlan:
    json_object(said, "plan", {"minimum_share"}, _RANGED)
    for name in _ZONES:
        if said.get("spread") is not None or said.get(name) is not None:
            _check_digits(said.get(name), name)
    minimum = said["minimum_share"]
    if isinstance(minimum, bool) or not isinstance(minimum, int | float) or not 0 <= minimum <= 1:
        raise UsageError("minimum_share of a plan must be a number from 0 to 1")
    hash_name = said.get("hash", XXH64)
    if not isinstance(hash_name, str):
        raise UsageError("hash of a plan must be the name of a hash")
    position_by(hash_name)
    replicas = said.get("replicas", 1)
    return RangedPlan(
        old_fingerprint=said["old_fingerprint"],
        new_fingerprint=said["new_fingerprint"],
        minimum_share=minimum,
        cells=tuple(_cells(said["ranges"], replicas)),
        hash_name=hash_name,
        replicas=replicas,
        spread=said.get("spread"),
        old_zones=said.get("old_zones"),
        new_zones=said.get("new_zones"),
    )


def _cells(value: object, replicas: int) -> list[Cell]:
    if not isinstance(value, list):
        raise UsageError("the ranges of a plan must be a list of objects")
    cells: list[Cell] = []
    for entry in value:
        moved = json_object(entry, "range of a plan", _RANGE, _RANGE)
        start, end = _position(moved["start"]), _position(moved["end"])
        flow: Flow = _node_id(moved["from"]), _node_id(moved["to"])
        if flow[0] == flow[1]:
            raise UsageError(f"a range of the plan moves from {flow[0]!r} to itself")
        if cells and cells[-1][:2] == (start, end) and len(cells[-1].copies) < replicas:
            cells[-1] = cells[-1]._replace(copies=(*cells[-1].copies, flow))
            continue
        if start >= end or (cells and start < cells[-1].end):
            raise UsageError("the ranges of a plan must ascend and not overlap")
        cells.append(Cell(start, end, (flow,)))
    return cells


def _position(text: object) -> int:
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 20:
        return check_integer(int(text), "a position of a plan", 0, SPACE)
    raise UsageError("a position of a plan must be decimal text")


def _node_id(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise UsageError("a range of a plan must name nodes by their ids, or null")
    return value


def _asked(said: dict[str, Any]) -> Plan:
    json_object(said, "plan", {"old", "new"}, _ASKED)
    old, new = from_object(said["old"]), from_object(said["new"])
    for name, placement in (("old", old), ("new", new)):
        if placement.fingerprint() != said[f"{name}_fingerprint"]:
            raise UsageError(f"the plan holds another {name} placement than it names")
    replicas, spread = said.get("replicas", 1), said.get("spread")
    made = plan_between(old, new, replicas, spread)
    return made if isinstance(made, AskedPlan) else AskedPlan(old, new, replicas, spread)
