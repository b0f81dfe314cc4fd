"""What the benchmarks on Redis share: a server of their own, peers, and worker processes."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import redis
import redis_lock

from concordant import Client
from tests.provision.redis import RedisServer

# What makes lock objects by name, all of one process.
Locks = Callable[[str], AbstractContextManager[Any]]
TTL_S = 30


def private_server() -> RedisServer:
    """Return a server that keeps nothing on disk, so that its clients are what is measured."""
    server = RedisServer("--appendonly", "no")
    server.start()
    return server


def parser(seconds: float) -> argparse.ArgumentParser:
    """Return a parser of --rounds and --seconds."""
    made = argparse.ArgumentParser()
    made.add_argument("--rounds", type=int, default=8)
    made.add_argument("--seconds", type=float, default=seconds)
    return made


def locks(kind: str, port: int, stack: ExitStack) -> Locks:
    """Open ours, redis-py's or python-redis-lock's locks; the stack closes what they use."""
    if kind == "ours":
        client = stack.enter_context(Client(f"redis://127.0.0.1:{port}/0"))
        return lambda name: client.lock(name, ttl_s=TTL_S)
    plain = stack.enter_context(redis.Redis(host="127.0.0.1", port=port))
    if kind == "redis-py":
        return lambda name: plain.lock(name, timeout=TTL_S)
    assert kind == "python-redis-lock", kind
    return lambda name: redis_lock.Lock(plain, name, expire=TTL_S)


class Workers:
    """Processes that run this benchmark's own file with --worker, and wait for a word to go."""

    def __init__(self, number: int, *arguments: object) -> None:
        command = [sys.executable, sys.argv[0], "--worker", json.dumps(arguments)]
        self._processes = [
            subprocess.Popen(
                [*command, str(index)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for index in range(number)
        ]
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def go(self) -> None:
        """Let them all begin."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

    def results(self) -> list[Any]:
        """Wait until all are done, and return what each has measured."""
        texts = [process.communicate()[0] for process in self._processes]
        return [json.loads(text) for text in texts]


def serve(work: Callable[..., Any]) -> None:
    """Be a worker, if the command line says so: call `work(index, ready, *arguments)` and end."""
    if "--worker" not in sys.argv:
        return
    at = sys.argv.index("--worker")
    arguments, index = json.loads(sys.argv[at + 1]), int(sys.argv[at + 2])

    def ready() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    print(json.dumps(work(index, ready, *arguments)), flush=True)
    sys.exit(0)
