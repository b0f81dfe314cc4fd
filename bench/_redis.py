"""What the benchmarks on Redis share: a server of their own, and their options."""

from __future__ import annotations

import argparse

from tests.provision.redis import RedisServer


def private_server() -> RedisServer:
    """Return a server that keeps nothing on disk, so that its clients are what is measured."""
    server = RedisServer("--appendonly", "no")
    server.start()
    return server


def options(seconds: float) -> argparse.Namespace:
    """Parse --rounds and --seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=seconds)
    return parser.parse_args()
