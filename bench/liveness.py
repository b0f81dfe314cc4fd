"""How long whoever waits really waits, beside what is promised at the most.

    python bench/liveness.py [--rounds 5] [--only TEXT]

The scenes are those of tests/liveness, which hold each bound at four times its value. One line
for each driver: the median and the worst of all rounds, and the bound.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._rounds import beside
from tests.crash.harness import Children
from tests.crash.theatre import Theatre
from tests.liveness.bounds import BOUNDS, Bound, Case
from tests.liveness.scene import Scene


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="the lines whose name has this in it")
    given = parser.parse_args()
    # What is lost and killed on purpose is told as it should be, but not here.
    logging.disable(logging.ERROR)
    with ExitStack() as stack:
        theatre = Theatre(stack.enter_context(Children()))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name, bound in BOUNDS.items():
            chosen = [case for case in bound.cases if given.only in f"{name} {case.id}"]
            if chosen:
                print(f"{name}: {bound.what} ({bound.promised})", flush=True)
            for case in chosen:
                measure_all(name, bound, case, given.rounds, theatre, folder)


def measure_all(
    name: str, bound: Bound, case: Case, rounds: int, theatre: Theatre, folder: Path
) -> None:
    """Play the scene so often, and print what it took."""
    play = bound.measure
    assert play is not None

    def once() -> float:
        own = Path(tempfile.mkdtemp(dir=folder))
        return play(Scene(own, case.world, lambda: theatre, case.backend, case.combo))

    beside(f"{name} {case.id}, s", once, bound.value_s, rounds)


if __name__ == "__main__":
    main()
