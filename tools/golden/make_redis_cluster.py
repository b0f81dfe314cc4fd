"""Write tests/data/golden_redis_cluster.json with answers of a real Redis server.

``python -m tools.golden.make_redis_cluster``, from the root of the repository. It starts
``redis-server`` with ``cluster-enabled`` on a private port and asks it CLUSTER KEYSLOT.
"""

from __future__ import annotations

from typing import Any

from tests.provision.redis import RedisServer
from tools.golden.writing import TEXTS, binary_keys, write

BRACES = (
    *("{", "}", "{}", "}{", "{}{", "{}{a}", "{{}}", "{{a}}", "{a}{b}", "a{b}c", "a}b{c}d"),
    *("foo{}{bar}", "foo{{bar}}zap", "foo{bar}{zap}", "{user1000}.following", "{user1000", "u}1"),
    *(
        "{a",
        "a}",
        "}a{",
        "}a{b}",
        "{\0}",
        "{ }",
        "a{}",
        "a{}b{c}",
        "{user1000}.followers",
        "123456789",
    ),
)


def main() -> None:
    """Ask the server about all keys and write the file."""
    texts = [text.encode() for text in ("", *TEXTS, *BRACES)]
    keys = [*texts, *binary_keys(200, seed=3), *binary_keys(200, seed=4, alphabet=b"{}{}ab\0\xff")]
    server = RedisServer("--cluster-enabled", "yes")
    server.start()
    try:
        plain: Any = server.plain()
        document: dict[str, Any] = {
            "about": "The slot of each key, by CLUSTER KEYSLOT of a real server; written by "
            "tools/golden/make_redis_cluster.py. Keys are hexadecimal.",
            "library": f"redis-server {plain.info('server')['redis_version']}",
            "slots": [
                {"key": key.hex(), "slot": plain.execute_command("CLUSTER KEYSLOT", key)}
                for key in dict.fromkeys(keys)
            ],
        }
    finally:
        server.close()
    write("golden_redis_cluster.json", document)


if __name__ == "__main__":
    main()
