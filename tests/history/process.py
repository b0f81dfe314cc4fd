"""One process that contends for locks, with a thread for each; started by the fleet."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from concordant import Client
from concordant.drivers import registry
from tests.history.contender import Contender
from tests.history.events import Recorder, now_ns
from tests.history.guarded import guarded
from tests.history.holder import Habits, Holder
from tests.history.user import User


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--user", action="store_true", help="by Client, not by the store's port")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--ttl-ms", type=int, required=True)
    parser.add_argument("--locks", type=int, required=True)
    options = parser.parse_args()
    until_ns = now_ns() + round(options.seconds * 1e9)
    recorder = Recorder(options.folder / f"{options.name}.jsonl")
    with ExitStack() as stack:
        door: Any
        if options.user:
            door = stack.enter_context(Client(options.url))
        else:
            door = stack.enter_context(closing(registry.lock_store(options.url)))
        kind: Callable[..., Holder[Any]] = User if options.user else Contender

        def contend(lock: str) -> None:
            pause_s = 1.5 * options.ttl_ms / 1000
            habits = Habits(lock, options.ttl_ms, pause_s=pause_s, pause_chance=0.15)
            with closing(guarded(options.url, options.folder)) as register:
                rng = random.Random(f"{options.name} {lock}")
                kind(door, recorder, register, habits, rng).run(until_ns)

        with ThreadPoolExecutor(options.locks) as pool:
            list(pool.map(contend, [f"lock-{number}" for number in range(options.locks)]))


if __name__ == "__main__":
    main()
