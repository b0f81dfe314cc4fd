"""One process that contends for locks, with a thread for each; started by the fleet."""

from __future__ import annotations

import argparse
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from concordant.drivers import registry
from tests.history.contender import Contender, Habits
from tests.history.events import Recorder, now_ns
from tests.history.register import Register


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--ttl-ms", type=int, required=True)
    parser.add_argument("--locks", type=int, required=True)
    options = parser.parse_args()
    until_ns = now_ns() + round(options.seconds * 1e9)
    recorder = Recorder(options.folder / f"{options.name}.jsonl")
    with closing(registry.lock_store(options.url)) as store:

        def contend(lock: str) -> None:
            habits = Habits(lock, options.ttl_ms, pause_s=1.5 * options.ttl_ms / 1000)
            with closing(Register(options.folder / "register.db")) as register:
                rng = random.Random(f"{options.name} {lock}")
                Contender(store, recorder, register, habits, rng).run(until_ns)

        with ThreadPoolExecutor(options.locks) as pool:
            list(pool.map(contend, [f"lock-{number}" for number in range(options.locks)]))


if __name__ == "__main__":
    main()
