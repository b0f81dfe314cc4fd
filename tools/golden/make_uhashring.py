"""Write tests/data/golden_uhashring.json with answers of the package ``uhashring``.

``python -m tools.golden.make_uhashring``, from the root of the repository, where the package is
installed. Keys are text: uhashring places bytes by their repr, and so elsewhere.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from itertools import count
from typing import Any

from tools.golden.make_libmemcached import TIED
from tools.golden.writing import TEXTS, write

KEYS = ("", *TEXTS, "a\0b", "\U0010ffff", "\x80\xff")

Weights = dict[str, int]


def equal(amount: int) -> Weights:
    """Return so many nodes of weight 1."""
    return {f"node-{number}": 1 for number in range(amount)}


# The names as libmemcached makes them: with them, uhashring has the same points.
TIED_NAMES = {host: 1 for host, _, _ in TIED}

KETAMA: list[tuple[str, dict[str, int], Weights]] = [
    ("three", {}, equal(3)),
    ("one", {}, equal(1)),
    ("a hundred", {}, equal(100)),
    ("weights", {}, {"a": 1, "b": 2, "c": 7}),
    ("a weight that gets no point", {}, {"a": 1024, "b": 1024, "c": 5}),
    ("few points", {"vnodes": 1}, equal(5)),
    ("many points", {"vnodes": 160}, equal(4)),
    ("fewer points of a digest", {"vnodes": 40, "replicas": 3}, equal(4)),
    ("one point of a digest", {"vnodes": 10, "replicas": 1}, {"a": 3, "b": 1}),
    ("beyond ASCII", {}, {"knoten-ä": 1, "ノード": 2, "🟢": 1}),
    ("tied", {}, TIED_NAMES),
    ("tied, the other way round", {}, dict(reversed(TIED_NAMES.items()))),
]
MD5: list[tuple[str, dict[str, int], Weights]] = [
    ("three", {}, equal(3)),
    ("one", {}, equal(1)),
    ("a hundred", {}, equal(100)),
    ("weights", {}, {"a": 1, "b": 2, "c": 7}),
    ("few points", {"vnodes": 1}, equal(5)),
    ("many points", {"vnodes": 400}, {"a": 1, "knoten-ä": 2}),
]


def main() -> None:
    """Ask the package about all rings and write the file."""
    ring_of = import_module("uhashring").HashRing
    keys = [*KEYS, *keys_on_points(ring_of), *tied_keys(ring_of)]
    rings = []
    for mode, configurations in (("ketama", KETAMA), ("md5", MD5)):
        for name, settings, weights in configurations:
            given = {"hash_fn": "ketama"} if mode == "ketama" else {}
            ring = ring_of(nodes=dict(weights), **given, **settings)
            ids = list(weights)
            rings.append(
                {
                    "name": name,
                    "mode": mode,
                    "settings": settings,
                    "nodes": weights,
                    "points": ring.size,
                    "owners": [ids.index(ring.get_node(key)) for key in keys],
                    "preferences": {
                        key: [ids.index(each["nodename"]) for each in ring.range(key)][:10]
                        for key in keys[::20]
                    },
                }
            )
    document: dict[str, Any] = {
        "about": "Which node has each key, by uhashring; written by tools/golden/make_uhashring.py."
        " Owners are parallel to the keys, and preferences have at most 10 nodes.",
        "library": f"uhashring {version('uhashring')}",
        "keys": keys,
        "rings": rings,
    }
    write("golden_uhashring.json", document)


def keys_on_points(ring_of: Any) -> list[str]:
    """Return keys whose hash is a point of the ring of a hundred."""
    ring = ring_of(nodes=equal(100), hash_fn="ketama")
    points = set(ring.ring)
    keys = (f"on-{number}" for number in count())
    hits = (key for key in keys if ring.hashi(key) in points)
    return [next(hits) for _ in range(4)]


def tied_keys(ring_of: Any) -> list[str]:
    """Return keys that fall on the arc of the point that both tied nodes have."""
    ring = ring_of(nodes=dict(TIED_NAMES), hash_fn="ketama")
    (at,) = [index for index, point in enumerate(ring._keys) if point in ring._keys[:index]]
    before, tied = ring._keys[at - 2], ring._keys[at]
    keys = (f"tied-{number}" for number in count())
    hits = (key for key in keys if before <= ring.hashi(key) < tied)
    return [next(hits) for _ in range(3)]


if __name__ == "__main__":
    main()
