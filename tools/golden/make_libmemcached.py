"""Write tests/data/golden_libmemcached.json with answers of the real libmemcached.

``python -m tools.golden.make_libmemcached LIBMEMCACHED.so [LIBHASHKIT.so]``, from the root of the
repository. ``memcached_generate_hash`` tells which of the client's servers has a key, without a
connection to any. The library is Debian's (``libmemcached11``, in a package or unpacked), or what
the wheel of pylibmc has in ``pylibmc.libs``; the file that both write is the same but for the
version.
"""

from __future__ import annotations

import ctypes
import sys
from hashlib import md5
from itertools import count
from typing import Any

from tools.golden.writing import TEXTS, binary_keys, write

BEHAVIOR_HASH, BEHAVIOR_KETAMA, BEHAVIOR_DISTRIBUTION, BEHAVIOR_KETAMA_WEIGHTED = 2, 3, 9, 16
HASH_MD5, DISTRIBUTION_CONSISTENT = 1, 1

Behaviors = list[tuple[int, int]]
WEIGHTED: Behaviors = [(BEHAVIOR_KETAMA_WEIGHTED, 1)]
PLAIN: Behaviors = [(BEHAVIOR_KETAMA, 1)]
PLAIN_MD5: Behaviors = [(BEHAVIOR_KETAMA, 1), (BEHAVIOR_HASH, HASH_MD5)]
CONSISTENT: Behaviors = [(BEHAVIOR_DISTRIBUTION, DISTRIBUTION_CONSISTENT)]

Servers = list[tuple[str, int, int]]
"""Host, port (0: the path of a Unix socket) and weight, in the order in which they are added."""


def hosts(amount: int, port: int = 11211) -> Servers:
    """Return so many servers of one port and weight."""
    return [(f"10.0.{number // 256}.{number % 256}", port, 1) for number in range(amount)]


def weighing(*weights: int) -> Servers:
    """Return servers of these weights."""
    return [(f"cache-{number}", 11211, weight) for number, weight in enumerate(weights)]


# Found by search: with four points of each digest, one point of the one is one of the other's.
TIED: Servers = [("10.0.4.1", 11211, 1), ("10.0.3.100", 11211, 1)]

MIXED: Servers = [("10.0.0.1", 11211, 1), ("10.0.0.1", 11212, 1), ("cache.example", 80, 1)]
ODD: Servers = [("/run/memcached.sock", 0, 1), ("::1", 11211, 1), ("fe80::1", 11300, 1)]

RINGS: list[tuple[str, Behaviors, bool, str, Servers]] = [
    ("weighted, one server", WEIGHTED, True, "md5", hosts(1)),
    ("weighted, default port", WEIGHTED, True, "md5", hosts(3)),
    ("weighted, other port", WEIGHTED, True, "md5", hosts(3, 11212)),
    ("weighted, mixed ports", WEIGHTED, True, "md5", MIXED),
    ("weighted, sockets and IPv6", WEIGHTED, True, "md5", ODD),
    ("weights", WEIGHTED, True, "md5", weighing(1, 2, 3)),
    ("weights that single precision rounds down", WEIGHTED, True, "md5", weighing(3, 2, 3, 10, 7)),
    ("more of them", WEIGHTED, True, "md5", weighing(7, 9, 4, 4, 11, 14, 12, 7, 6, 1)),
    ("a weight that gets no point", WEIGHTED, True, "md5", weighing(1024, 1024, 5)),
    ("large weights", WEIGHTED, True, "md5", weighing(2**32 - 1, 16777217, 123456789)),
    ("a hundred servers", WEIGHTED, True, "md5", hosts(100)),
    ("tied", WEIGHTED, True, "md5", TIED),
    ("tied, the other way round", WEIGHTED, True, "md5", TIED[::-1]),
    ("ketama", PLAIN, False, "one-at-a-time", hosts(3)),
    ("ketama, other port", PLAIN, False, "one-at-a-time", hosts(5, 11212)),
    ("ketama, sockets and IPv6", PLAIN, False, "one-at-a-time", ODD),
    ("ketama by MD5", PLAIN_MD5, False, "md5", MIXED),
    ("ketama with a weight above 1", PLAIN, True, "one-at-a-time", weighing(1, 1, 4)),
    ("consistent", CONSISTENT, False, "one-at-a-time", hosts(10)),
]


class Client:
    """A client of the real library."""

    def __init__(self, library: ctypes.CDLL, behaviors: Behaviors, servers: Servers) -> None:
        self._library = library
        library.memcached_create.restype = ctypes.c_void_p
        library.memcached_generate_hash.restype = ctypes.c_uint32
        self._client = ctypes.c_void_p(library.memcached_create(None))
        for flag, value in behaviors:
            assert library.memcached_behavior_set(self._client, flag, ctypes.c_uint64(value)) == 0
        for host, port, weight in servers:
            name, wide = host.encode(), ctypes.c_uint32(weight)
            if port:
                add = library.memcached_server_add_with_weight
                assert add(self._client, name, ctypes.c_uint16(port), wide) == 0
            else:
                add = library.memcached_server_add_unix_socket_with_weight
                assert add(self._client, name, wide) == 0

    def server(self, key: bytes) -> int:
        """Return the number of the server that has ``key``."""
        size = ctypes.c_size_t(len(key))
        return int(self._library.memcached_generate_hash(self._client, key, size))


def main() -> None:
    """Ask the library about all rings and write the file."""
    for path in sys.argv[2:]:
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(sys.argv[1])
    library.memcached_lib_version.restype = ctypes.c_char_p
    keys = [text.encode() for text in TEXTS] + binary_keys(120, seed=1) + keys_on_points()
    rings = []
    for name, behaviors, weighted, digest, servers in RINGS:
        client = Client(library, behaviors, servers)
        rings.append(
            {
                "name": name,
                "weighted": weighted,
                "hash": digest,
                "servers": [list(server) for server in servers],
                "owners": [client.server(key) for key in keys],
            }
        )
    document: dict[str, Any] = {
        "about": "Which server has each key, by memcached_generate_hash of the real library; "
        "written by tools/golden/make_libmemcached.py. Keys are hexadecimal, owners parallel to "
        "them; the port of a Unix socket is 0.",
        "library": f"libmemcached {library.memcached_lib_version().decode()}",
        "keys": [key.hex() for key in keys],
        "rings": rings,
    }
    write("golden_libmemcached.json", document)


def keys_on_points() -> list[bytes]:
    """Return keys whose hash is a point of the ring of a hundred, and keys of the tied point."""
    points = {
        int.from_bytes(digest[at : at + 4], "little")
        for host, _, _ in hosts(100)
        for number in range(40)
        for digest in [md5(f"{host}-{number}".encode()).digest()]
        for at in (0, 4, 8, 12)
    }
    found: list[bytes] = []
    for number in count():
        key = b"on-%d" % number
        if int.from_bytes(md5(key).digest()[:4], "little") in points:
            found.append(key)
            if len(found) == 4:
                break
    return found + tied_keys()


def tied_keys() -> list[bytes]:
    """Return keys that fall on the arc of the point that both tied servers have."""
    sets = [
        [
            int.from_bytes(digest[at : at + 4], "little")
            for number in range(40)
            for digest in [md5(f"{host}-{number}".encode()).digest()]
            for at in (0, 4, 8, 12)
        ]
        for host, _, _ in TIED
    ]
    (tied,) = set(sets[0]) & set(sets[1])
    before = max(point for point in (*sets[0], *sets[1]) if point < tied)
    keys = (b"tied-%d" % number for number in count())
    hits = (key for key in keys if before < int.from_bytes(md5(key).digest()[:4], "little") <= tied)
    return [next(hits) for _ in range(3)]


if __name__ == "__main__":
    main()
