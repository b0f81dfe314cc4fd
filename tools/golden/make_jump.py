"""Write tests/data/golden_jump.json with answers of the package ``jump-consistent-hash``.

``python -m tools.golden.make_jump``, from the root of the repository, where the package is
installed. Both of its implementations are asked, the one in C and the one in Python.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from random import Random

from tools.golden.writing import write

KEYS = [0, 1, 2, 10, 42, 255, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 63, (1 << 64) - 1, 0xDEAD10CC]
BUCKETS = (1, 2, 3, 5, 7, 10, 16, 31, 57, 64, 100, 128, 1000, 1024, 9999, 1 << 20, (1 << 31) - 1)


def main() -> None:
    """Ask for all keys and numbers of buckets and write the file."""
    jump = import_module("jump")
    random = Random(2)
    keys = KEYS + [random.getrandbits(64) for _ in range(140)]
    vectors = []
    for key in keys:
        buckets = [jump.c_hash(key, amount) for amount in BUCKETS]
        assert buckets == [jump.py_hash(key, amount) for amount in BUCKETS]
        vectors.append({"key": str(key), "results": buckets})
    write(
        "golden_jump.json",
        {
            "about": "The bucket of each key for each number of buckets, by the package "
            "jump-consistent-hash; written by tools/golden/make_jump.py. Keys are decimal text.",
            "library": f"jump-consistent-hash {version('jump-consistent-hash')}",
            "buckets": list(BUCKETS),
            "vectors": vectors,
        },
    )


if __name__ == "__main__":
    main()
