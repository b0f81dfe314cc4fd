"""Write the golden vectors of the ring's public format: tests/data/ring_vectors.json.

Nothing of the package is imported. Owners are found by the definition, as a minimum over all
points, with the hash of the ``xxhash`` package; the vectors so check the ring and are no copy of
its answers. Run it as ``.venv/bin/python tools/ring_vectors.py``. The file may gain vectors; the
ones in it never change, for that would move the keys of every user.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from xxhash import xxh64_intdigest

TARGET = Path(__file__).resolve().parent.parent / "tests" / "data" / "ring_vectors.json"
SPACE = 1 << 64

Weights = dict[str, float]
Points = list[tuple[int, str]]

# The halves at 2 points show rounding to the even number: 1, 2, 2, 2 and 4 points.
RINGS: dict[str, tuple[int, Weights]] = {
    "default": (160, {"node-a": 1.0, "node-b": 1.0, "node-c": 1.0}),
    "weighted": (160, {"big": 3.0, "small": 1.0, "tiny": 0.000001}),
    "halves": (2, {"a": 0.25, "b": 0.75, "c": 1.0, "d": 1.25, "e": 1.75}),
    "separator": (12, {"n": 1.0, "n1": 1.0, "n11": 1.0}),
    "unicode": (40, {"knoten-ä": 1.0, "ノード": 2.0, "🟢": 1.0, "a b\tc": 1.0}),
    # Point 0 of the first two falls on one position.
    "tied": (1, {"tied-node-0001": 1.0, "NqkjQxY/004706": 1.0, "third": 1.0}),
    "single": (160, {"only": 1.0}),
}

KEYS: list[str | int] = [
    *("", "a", "key", "42", "007", "user:1000", "grüße", "キー", "🔑", "a\0b", "x" * 300),
    *(f"account-{number}" for number in range(20)),
    *(0, -1, 7, 9007199254740991),
]


def main() -> None:
    """Compute all vectors and write the file."""
    document = {
        "about": "Golden vectors of the ring's format, written by tools/ring_vectors.py. "
        "Hashes are decimal text, since JSON readers may round large numbers.",
        "xxh64": [{"bytes": data.hex(), "hash": str(xxh64_intdigest(data))} for data in _inputs()],
        "rings": [_ring_vectors(name, *ring) for name, ring in RINGS.items()],
    }
    TARGET.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _inputs() -> list[bytes]:
    """Return byte strings that take every branch of XXH64."""
    sizes = (0, 1, 3, 4, 5, 7, 8, 9, 12, 15, 16, 31, 32, 33, 39, 44, 63, 64, 65, 127, 128, 129)
    return [bytes(index * 151 % 256 for index in range(size)) for size in sizes]


def _ring_vectors(name: str, points_per_weight: int, weights: Weights) -> dict[str, Any]:
    counts = {node_id: _count(weight * points_per_weight) for node_id, weight in weights.items()}
    points = [
        (xxh64_intdigest(f"{node_id}\0{number}".encode()), node_id)
        for node_id, count in counts.items()
        for number in range(count)
    ]
    return {
        "name": name,
        "points": points_per_weight,
        "nodes": [{"id": node_id, "weight": weight} for node_id, weight in weights.items()],
        "point_counts": counts,
        "fingerprint": _fingerprint(points),
        "lookups": [{"key": key, "nodes": _preference(points, _hash_of(key))} for key in KEYS],
    }


def _count(exact: float) -> int:
    whole = int(exact)
    half = exact - whole
    up = half > 0.5 or (half == 0.5 and whole % 2 == 1)
    return max(1, whole + up)


def _hash_of(key: str | int) -> int:
    return xxh64_intdigest(str(key).encode())


def _preference(points: Points, position: int) -> list[str]:
    """Return all ids by the clockwise way to their nearest point; ties by the id's bytes."""
    ids = {node_id for _, node_id in points}
    ways = {
        node_id: min((point - position) % SPACE for point, owner in points if owner == node_id)
        for node_id in ids
    }
    return sorted(ids, key=lambda node_id: (ways[node_id], node_id.encode()))


def _fingerprint(points: Points) -> str:
    """Digest the preference list at 0 and, clockwise, every change of it."""
    digest = sha256(b"concordant-ring/1 xxh64\0" + _terminated(_preference(points, 0)))
    for position in sorted({point for point, _ in points}):
        here = _preference(points, position)
        behind = _preference(points, (position + 1) % SPACE)
        moved = next(
            here[:size]
            for size in range(len(here) + 1)
            if here[:size] + [owner for owner in behind if owner not in here[:size]] == here
        )
        if moved:
            digest.update(position.to_bytes(8, "little") + _terminated(moved))
    return digest.hexdigest()[:32]


def _terminated(ids: list[str]) -> bytes:
    return b"".join(node_id.encode() + b"\0" for node_id in ids) + b"\0"


if __name__ == "__main__":
    main()
