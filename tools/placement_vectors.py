"""Write the golden vectors of all algorithms but the ring: ``tests/data/placement_vectors.json``.

Nothing of the package is imported. Answers follow from the formats as they are documented, by the
shortest way that comes to mind and with the hash of the ``xxhash`` package: scores are fractions
over logarithms of 60 decimals, tables are searched from end to end. Run it as
``.venv/bin/python -m tools.placement_vectors``. The file may gain vectors; the ones in it never
change, for that would move the keys of every user.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from hashlib import new as hash_of
from hashlib import sha256
from pathlib import Path
from typing import Any

from xxhash import xxh64_intdigest

from tools.placement_functions import (
    KEYS,
    LOGS,
    SPACE,
    Weights,
    jump,
    memento,
    mix,
    places,
    positions,
    rendezvous,
    units,
)

TARGET = Path(__file__).resolve().parent.parent / "tests" / "data" / "placement_vectors.json"

Points = list[tuple[int, str]]

THREE = {"node-a": 1.0, "node-b": 1.0, "node-c": 1.0}
NAMES = {"knoten-ä": 1.0, "ノード": 1.0, "🟢": 1.0, "a b\tc": 1.0, "n": 1.0, "n1": 1.0, "n11": 1.0}
UNEVEN = {"big": 3.0, "half": 0.5, "small": 1.0, "thousandth": 0.001, "tiny": 0.000001}
HEAVY = {"a": 1000000.0, "b": 999999.999999, "c": 0.0000001, "d": 2.5}


def clockwise(points: Points, position: int) -> list[str]:
    """Return all ids by the way to their nearest point; ties by the id's bytes."""
    ways: dict[str, int] = {}
    for point, node_id in points:
        way = (point - position) % SPACE
        ways[node_id] = min(way, ways.get(node_id, way))
    return sorted(ways, key=lambda node_id: (ways[node_id], node_id.encode()))


def table_fingerprint(points: Points, hash_name: str) -> str:
    """Digest the list at 0 and every change of it."""
    told = f"concordant-ring/1 {hash_name}".encode() + b"\0" + _ended(clockwise(points, 0))
    for position in sorted({point for point, _ in points}):
        here = clockwise(points, position)
        behind = clockwise(points, (position + 1) % SPACE)
        moved = next(
            here[:size]
            for size in range(len(here) + 1)
            if here[:size] + [each for each in behind if each not in here[:size]] == here
        )
        if moved:
            told += position.to_bytes(8, "little") + _ended(moved)
    return sha256(told).hexdigest()[:32]


def _ended(ids: list[str]) -> bytes:
    return b"".join(node_id.encode() + b"\0" for node_id in ids) + b"\0"


def parted(owners: list[str]) -> Points:
    """Return the points of a table whose owners have equal parts of the space."""
    parts = len(owners)
    return [(-(-((part + 1) << 64) // parts) - 1, each) for part, each in enumerate(owners)]


def maglev(name: str, weights: Weights, size: int) -> dict[str, Any]:
    """Let the nodes take entries by turns."""
    ids = sorted(weights)
    most = max(units(weight) for weight in weights.values())
    orders: dict[str, list[int]] = {}
    for node_id in ids:
        first = xxh64_intdigest(f"{node_id}\0offset".encode())
        skip = xxh64_intdigest(f"{node_id}\0skip".encode()) % (size - 1) + 1
        orders[node_id] = [(first + turn * skip) % size for turn in range(size)]
    saved = {node_id: most - units(weights[node_id]) for node_id in ids}
    taken: dict[int, str] = {}
    while len(taken) < size:
        for node_id in ids:
            saved[node_id] += units(weights[node_id])
            if saved[node_id] >= most and len(taken) < size:
                saved[node_id] -= most
                taken[next(each for each in orders[node_id] if each not in taken)] = node_id
    owners = [taken[entry] for entry in range(size)]
    return _table(name, weights, owners, {"size": size})


def modulo(name: str, weights: Weights, p: int, digest: str) -> dict[str, Any]:
    """Place keys on a ring of p positions, each node on one."""

    def stands(text: str) -> int:
        return int.from_bytes(hash_of(digest, text.encode()).digest(), "big") % p + 1

    def preferred(key: str) -> list[str]:
        return sorted(weights, key=lambda each: ((stands(each) - stands(key)) % p, each.encode()))

    points = [(-(-(stands(each) << 64) // p) - 1, each) for each in weights]
    return {
        "name": name,
        "nodes": weights,
        "state": {"p": p, "hash": digest},
        "lists": places(weights, [preferred(str(key)) for key in KEYS]),
        "fingerprint": table_fingerprint(points, f"mod-{digest}-{p}"),
    }


def slots(
    name: str, weights: Weights, count: int, pins: dict[int, str], changes: list[Weights]
) -> dict[str, Any]:
    """Assign slots from scratch, and anew for each change: all weights that there are then."""
    most = max(units(weight) for weight in weights.values())
    ring = [
        (xxh64_intdigest(f"{node_id}\0{number}".encode()), node_id)
        for node_id, weight in weights.items()
        for number in range(max(1, round(units(weight) / most * 160)))
    ]
    owners = [clockwise(ring, xxh64_intdigest(b"%d" % slot))[0] for slot in range(count)]
    before: Weights = {}
    for now in [weights, *changes]:
        held = [pins.get(slot, each) for slot, each in enumerate(owners)]
        changed = {each for each in now if now[each] != before.get(each)}
        owners, before = _handed_over(held, now, pins, changed), now
    state = {"slots": count, "pins": [[slot, node_id] for slot, node_id in sorted(pins.items())]}
    return {**_table(name, weights, owners, state), "changes": changes}


def _handed_over(
    owners: list[str], weights: Weights, pins: dict[int, str], changed: set[str]
) -> list[str]:
    """Give each node its share: whoever has too many gives up slots in the order of mix(slot)."""
    count, ids = len(owners), sorted(weights)
    least = {node_id: max(1, list(pins.values()).count(node_id)) for node_id in ids}
    fixed: dict[str, int] = {}
    while True:
        rest = [node_id for node_id in ids if node_id not in fixed]
        left, whole = count - sum(fixed.values()), sum(units(weights[each]) for each in rest)
        share = {each: Fraction(left * units(weights[each]), whole) for each in rest}
        short = [each for each in rest if share[each] < least[each]]
        if not short:
            break
        fixed.update((each, least[each]) for each in short)
    goal = {**fixed, **{each: int(share[each]) for each in rest}}
    upwards = [each for each in rest if share[each] > goal[each]]
    keep = [each for each in upwards if owners.count(each) > goal[each]]
    keep.sort(key=lambda each: (each in changed, goal[each] - share[each], each))
    get = [each for each in upwards if each not in keep]
    get.sort(key=lambda each: (each not in changed, goal[each] - share[each], each))
    upwards = keep + get
    for each in upwards[: count - sum(goal.values())]:
        goal[each] += 1
    owned = list(owners)
    free = []
    for slot in sorted(range(count), key=mix):
        node_id = owned[slot]
        if node_id not in goal or (slot not in pins and owned.count(node_id) > goal[node_id]):
            free.append(slot)
            owned[slot] = ""
    for node_id in ids:
        while owned.count(node_id) < goal[node_id]:
            owned[free.pop(0)] = node_id
    return owned


def _table(name: str, weights: Weights, owners: list[str], state: dict[str, Any]) -> dict[str, Any]:
    points = parted(owners)
    ids = sorted(set(owners))
    return {
        "name": name,
        "nodes": weights,
        "state": state,
        "owners": [ids.index(each) for each in owners],
        "lists": places(ids, [clockwise(points, position) for position in positions()]),
        "fingerprint": table_fingerprint(points, "xxh64"),
    }


def cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each algorithm's name with a vector."""
    for name, weights in (("equal", THREE), ("names", NAMES), ("uneven", UNEVEN), ("heavy", HEAVY)):
        yield "rendezvous", rendezvous(name, weights)
        yield "maglev", maglev(name, weights, 61)
        yield "slots", slots(name, weights, 64, {}, [])
    yield "maglev", maglev("larger", THREE, 251)
    grown = {**THREE, "node-d": 1.0, "node-e": 2.0}
    lighter = {"node-b": 1.0, "node-d": 0.001, "node-e": 1.0}
    yield "slots", slots("changed", THREE, 50, {}, [grown, lighter, grown])
    pins = {0: "node-b", 7: "node-b", 33: "node-e"}
    yield "slots", slots("pinned", grown, 40, pins, [{**lighter, "x": 5.0}, grown])
    for name, weights in (("equal", THREE), ("names", NAMES)):
        yield "modulo-ring", modulo(name, weights, 360, "md5")
        yield "modulo-ring", modulo(f"{name}, crowded", weights, 3, "sha256")
        yield "jump", jump(name, sorted(weights))
        yield "jump", jump(f"{name}, backwards", sorted(weights)[::-1])
        yield "memento", memento(name, sorted(weights), [])
    many = [f"n{number:02}" for number in range(20)]
    yield "jump", jump("many", many)
    yield "memento", memento("many", many, [])
    yield "memento", memento("one left", many, ["-n07"])
    yield "memento", memento("last left", many, ["-n19", "-n18"])
    away = ["-n02", "-n19", "-n11", "-n05", "-n03", "-n17", "-n04"]
    yield "memento", memento("many left", many, away)
    yield "memento", memento("came back", many, [*away, "+x", "+y", "-n00", "-x", "+z"])
    yield "memento", memento("few left", many, [f"-n{3 * at % 20:02}" for at in range(17)])


def main() -> None:
    """Compute all vectors and write the file, a line each."""
    head = {
        "about": "Golden vectors of all algorithms but the ring, by tools/placement_vectors.py. "
        "Lists and owners are places among the ids in ascending order; a list for each key.",
        "keys": KEYS,
        "log_table": sha256("".join(f"{log}\n" for log in LOGS).encode()).hexdigest(),
    }
    lines = [
        f"{json.dumps(key)}: {json.dumps(said, ensure_ascii=False)}" for key, said in head.items()
    ]
    vectors = [
        json.dumps({"algorithm": kind, **case}, ensure_ascii=False) for kind, case in cases()
    ]
    lines.append('"vectors": [\n' + ",\n".join(vectors) + "\n]")
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
