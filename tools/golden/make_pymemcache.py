"""Write tests/data/golden_pymemcache.json with answers of the package ``pymemcache``.

``python -m tools.golden.make_pymemcache``, from the root of the repository, where the package is
installed. The lists of preference are what ``RendezvousHash`` answers while the owner of the key
is removed again and again. Keys are text, as ``HashClient`` hands them to its hasher.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Any

from tools.golden.writing import TEXTS, write

# The empty key, and characters that do not fit into a byte.
KEYS = ("", *TEXTS, "a\0b", "\U0010ffff", "\x80\xff", "Ā")

RINGS: dict[str, tuple[int, list[str]]] = {
    "three": (0, [f"10.0.0.{number}:11211" for number in range(1, 4)]),
    "ten": (0, [f"cache-{number:02}.example:11211" for number in range(10)]),
    "names of all lengths": (0, ["a", "ab", "abc", "abcd", "abcde", "/run/memcached.sock"]),
    "beyond ASCII": (0, ["knoten-ä", "ノード", "🟢"]),
    "one": (0, ["only"]),
    "seeded": (4711, [f"10.0.0.{number}:11211" for number in range(1, 6)]),
}


def main() -> None:
    """Ask the package about all rings and write the file."""
    hasher = import_module("pymemcache.client.rendezvous").RendezvousHash
    murmur = import_module("pymemcache.client.murmur3").murmur3_32
    rings = [
        {
            "name": name,
            "seed": seed,
            "nodes": nodes,
            "owners": [nodes.index(hasher(nodes, seed).get_node(key)) for key in KEYS],
            "preferences": {key: preference(hasher, nodes, seed, key) for key in KEYS[::10]},
        }
        for name, (seed, nodes) in RINGS.items()
    ]
    tied = tied_nodes(murmur)
    rings += [
        {
            "name": f"tied, {name}",
            "seed": 0,
            "nodes": nodes,
            "owners": [nodes.index(hasher(list(nodes), 0).get_node(key)) for key in KEYS],
            "preferences": {"tied": preference(hasher, nodes, 0, "tied")},
        }
        for name, nodes in (("smaller first", tied), ("greater first", tied[::-1]))
    ]
    document: dict[str, Any] = {
        "about": "Which node has each key, by pymemcache's RendezvousHash; written by "
        "tools/golden/make_pymemcache.py. Owners are parallel to the keys.",
        "library": f"pymemcache {version('pymemcache')}",
        "keys": list(KEYS),
        "murmur3_32": [
            {"text": text, "seed": seed, "hash": murmur(text, seed)}
            for text in ("", "a", "ab", "abc", "abcd", "hello, world", "é", "ā")
            for seed in (0, 1, 0xFFFFFFFF)
        ],
        "rings": rings,
    }
    write("golden_pymemcache.json", document)


def preference(hasher: Any, nodes: list[str], seed: int, key: str) -> list[int]:
    """Return the numbers of the nodes in the order in which they would get the key."""
    left, order = hasher(list(nodes), seed), []
    while (owner := left.get_node(key)) is not None:
        order.append(nodes.index(owner))
        left.remove_node(owner)
    return order


def tied_nodes(murmur: Any) -> list[str]:
    """Return two names whose scores for the key ``tied`` are equal."""
    seen: dict[int, str] = {}
    number = 0
    while True:
        name = f"node-{number}"
        score = murmur(f"{name}-tied")
        if score in seen:
            return sorted([seen[score], name])
        seen[score] = name
        number += 1


if __name__ == "__main__":
    main()
