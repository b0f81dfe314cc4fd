"""Give the placement kernel in C random and hostile input, and compare it with its twins.

    tools/sanitize_kernel.sh --fuzz --seconds 60 --seed 7
    python -m tools.fuzz_kernel --seed 7 --only arrow --first 1234 --rounds 1

Each round is drawn from the seed and its number alone, so the second line is what repeats one.
The rounds run in a process of their own: when a sanitizer ends that, the round it was at is
named, and so is how to repeat it. Ends with 1 if anything was found.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from random import Random, SystemRandom

from tools.fuzz_kernel import arrow, functions, keys, tables

TARGETS: dict[str, Callable[[Random], None]] = {
    "hash": keys.hashes,
    "keys": keys.batches,
    "text": keys.columns,
    "table": tables.looked_up,
    "armed": tables.armed,
    "edited": tables.edited,
    "misedited": tables.misedited,
    "arrow": arrow.columns,
    "malformed": arrow.malformed,
    "functions": functions.alike,
    "misarmed": functions.armed,
}


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="end after so long (60)")
    parser.add_argument("--seed", type=int, help="what the rounds are drawn from (any)")
    parser.add_argument("--only", choices=TARGETS, help="one target alone")
    parser.add_argument("--first", type=int, default=0, help="the number of the first round (0)")
    parser.add_argument("--rounds", type=int, help="end after so many")
    parser.add_argument("--state", help=argparse.SUPPRESS)
    return parser.parse_args()


def run(options: argparse.Namespace) -> None:
    """Do rounds until the time is over, each target in turn."""
    targets = {options.only: TARGETS[options.only]} if options.only else TARGETS
    names = list(targets)
    end = time.monotonic() + options.seconds
    number = options.first
    with open(options.state, "w") as state:
        while time.monotonic() < end:
            if options.rounds is not None and number >= options.first + options.rounds:
                break
            name = names[number % len(names)]
            state.seek(0)
            state.write(f"--only {name} --first {number:<20}")
            state.flush()
            targets[name](Random(f"{options.seed} {name} {number}"))
            number += 1
    print(f"{number - options.first} rounds of {', '.join(names)}: nothing found", flush=True)


def main() -> int:
    """Start the rounds in a process of their own, and tell how they ended."""
    options = parsed()
    if options.state:
        run(options)
        return 0
    seed = SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with tempfile.NamedTemporaryFile("r", prefix="fuzz-kernel-") as state:
        given = [f"--seed={seed}", f"--state={state.name}", f"--seconds={options.seconds}"]
        given += [f"--first={options.first}"]
        given += [f"--only={options.only}"] if options.only else []
        given += [] if options.rounds is None else [f"--rounds={options.rounds}"]
        done = subprocess.run([sys.executable, "-m", "tools.fuzz_kernel", *given])
        if done.returncode == 0:
            return 0
        where = state.read().strip()
        print(f"found something (ended with {done.returncode}); repeat it by", flush=True)
        print(f"  python -m tools.fuzz_kernel --seed {seed} {where} --rounds 1", flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
