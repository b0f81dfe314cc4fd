"""Run the whole product of crash points, ways in which they go wrong, databases and logs.

Every case of the crash tests is run on every combination, in both worlds, and again with more
databases; storms of random kills come between. The order is shuffled by a seed, which is
printed; with ``--seed`` and ``--only`` a case is run again. What has passed is kept in
``.soak``, so a run that was broken off goes on where it was; once all has passed
the next run begins anew, with another seed.

Exit codes: 0 all cases have passed, by this run and those before it; 1 a case failed; 75 none
failed, and some are left because the time was over or Ctrl-C came: run it again to go on; 2 the
command line is wrong, or no case fits it. After 1 and 75 what has passed is kept.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import queue
import random
import secrets
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / ".soak"
SUITES: Final = {"2pc": "tests.crash.scenarios", "saga": "tests.crash.saga_scenarios"}
WORLDS: Final = ("sync", "aio")
STORMS: Final = 8
PLACES_MAX: Final = 4
TENTH_MINUTES: Final = 25.0
FAILED: Final = 1
USAGE: Final = 2
# As sysexits.h has it: not now, try again.
LEFT: Final = 75


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario; `parts` is what it is made of, and its id spells that out."""

    id: str
    combo: Any
    places: int
    run: Any


def _tests(name: str) -> Any:
    # The tests are no package that mypy checks, so they are imported by name.
    return import_module(name)


def every_case(seed: int, rounds: int) -> Iterator[Case]:
    """Yield the whole product, once with two databases and then with a random number."""
    for number in range(rounds):
        for combo in _tests("tests.crash.combos").COMBOS:
            for suite, module in SUITES.items():
                yield from _scenarios(seed, number, combo, suite, _tests(module))
            for storm in range(STORMS):
                name = f"{combo}/storm/{number}/{storm}"
                dice = random.Random(f"{seed}/{name}")
                places = dice.randint(2, PLACES_MAX)
                storm_of = _tests("tests.crash.storm").Storm(dice.randrange(2**32))
                yield Case(name, combo, places, storm_of.run)


def _scenarios(seed: int, number: int, combo: Any, suite: str, module: Any) -> Iterator[Case]:
    for point in module.POINTS:
        for variant, play in module.VARIANTS.items():
            for recovery in module.recoveries(point, variant):
                for world in WORLDS:
                    parts = (combo, suite, variant, point.name, _named(recovery), world, number)
                    name = "/".join(str(part) for part in parts)
                    # A saga is made for two databases, and so are some points of a commit.
                    wide = number and suite == "2pc"
                    places = random.Random(f"{seed}/{name}").randint(2, PLACES_MAX) if wide else 2
                    run = _Scenario(module, play, point, world, recovery)
                    yield Case(name, combo, places, run)


def _named(fault: Any) -> str:
    return f"{fault.state}-{fault.command}-{fault.when}" if fault else "-"


@dataclass(frozen=True, slots=True)
class _Scenario:
    """A scenario, to be played on a stage."""

    module: Any
    play: Any
    point: Any
    world: str
    recovery: Any

    def __call__(self, stage: Any) -> None:
        self.play(self.module.Run(stage, self.point, self.world, self.recovery))


def plan(seed: int, rounds: int, tenth: bool) -> list[Case]:
    """Return the cases in the order of the seed; with `tenth` the first tenth of them."""
    cases = list(every_case(seed, rounds))
    random.Random(seed).shuffle(cases)
    return cases[: (len(cases) + 9) // 10] if tenth else cases


# --- what was done before -----------------------------------------------------------------


@dataclass(slots=True)
class State:
    """What has passed under a seed: what was asked for, and a line for each case."""

    seed: int
    tenth: bool
    rounds: int
    done: set[str] = field(default_factory=set)
    kept: bool = True

    @classmethod
    def load(cls) -> State | None:
        """Return what an earlier run has left, if it can be read."""
        try:
            told = json.loads((FOLDER / "state.json").read_text("utf-8"))
            done = set((FOLDER / "done").read_text("utf-8").splitlines())
            return cls(told["seed"], told["tenth"], told["rounds"], done)
        except (OSError, ValueError, KeyError):
            return None

    def begin(self) -> None:
        """Forget what was done before, and note what is to be done now."""
        (FOLDER / "done").write_text("", "utf-8")
        told = {"seed": self.seed, "tenth": self.tenth, "rounds": self.rounds}
        (FOLDER / "state.json").write_text(json.dumps(told), "utf-8")

    def passed(self, case: Case) -> None:
        """Note that a case has passed."""
        self.done.add(case.id)
        if self.kept:
            with (FOLDER / "done").open("a", encoding="utf-8") as file:
                file.write(case.id + "\n")


def begin(options: argparse.Namespace) -> tuple[State, list[Case]]:
    """Return what there is to do, and what of it has been done."""
    before = State.load()
    if options.only is not None:
        seed = options.seed
        if seed is None:
            seed = before.seed if before else 0
        every = plan(seed, options.rounds, False)
        state = State(seed, False, options.rounds, kept=False)
        return state, [case for case in every if options.only in case.id]
    same = before is not None and (before.tenth, before.rounds) == (options.tenth, options.rounds)
    if before is not None and same and options.seed in (None, before.seed):
        cases = plan(before.seed, before.rounds, before.tenth)
        if any(case.id not in before.done for case in cases):
            return before, cases
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    state = State(seed, options.tenth, options.rounds)
    if not options.list:
        state.begin()
    return state, plan(seed, options.rounds, options.tenth)


# --- running ------------------------------------------------------------------------------


class Crew:
    """Threads that take one case after the other, each with a theatre of its own."""

    def __init__(self, state: State, cases: Sequence[Case], end_s: float) -> None:
        self.failed: list[str] = []
        self.passed = 0
        # Whether a thread has died, which leaves its cases to nobody.
        self.broken = False
        self._gone: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._state = state
        self._end_s = end_s
        self._todo: queue.SimpleQueue[Case] = queue.SimpleQueue()
        for case in cases:
            self._todo.put(case)
        self._mutex = threading.Lock()
        self._stopped = threading.Event()
        self._began_s = time.monotonic()
        self._told_s = self._began_s

    def run(self, jobs: int) -> None:
        """Work until nothing is left or the time is over; Ctrl-C ends after the cases at hand."""
        for _ in range(jobs):
            threading.Thread(target=self._work, daemon=True).start()
        while jobs:
            try:
                # Not by joining: in Python 3.11 a join that Ctrl-C breaks off takes the thread
                # for ended.
                self._gone.get()
                jobs -= 1
            except KeyboardInterrupt:
                if self._stopped.is_set():
                    raise
                print("soak: ending after the cases at hand; once more ends at once", flush=True)
                self._stopped.set()

    def _work(self) -> None:
        try:
            self._take_cases()
        except Exception:
            self.broken = True
            traceback.print_exc()
        finally:
            self._gone.put(None)

    def _take_cases(self) -> None:
        with ExitStack() as stack:
            children = stack.enter_context(_tests("tests.crash.harness").Children())
            theatre = _tests("tests.crash.theatre").Theatre(children)
            while not self._stopped.is_set() and time.monotonic() < self._end_s:
                try:
                    case = self._todo.get_nowait()
                except queue.Empty:
                    return
                self._play(theatre, case)

    def _play(self, theatre: Any, case: Case) -> None:
        folder = Path(tempfile.mkdtemp(prefix="case-", dir=FOLDER))
        try:
            with theatre.stage(case.combo, folder, case.places) as stage:
                case.run(stage)
        except Exception:
            with self._mutex:
                self.failed.append(case.id)
                self._report(case, folder)
            return
        shutil.rmtree(folder, ignore_errors=True)
        with self._mutex:
            self.passed += 1
            self._state.passed(case)
            self._tell()

    def _report(self, case: Case, folder: Path) -> None:
        again = f"tools/soak.py --seed {self._state.seed} --only '{case.id}'"
        text = f"soak: FAILED {case.id}\n{traceback.format_exc()}soak: {folder}; again: {again}"
        print(text, flush=True)
        with (FOLDER / "failures.log").open("a", encoding="utf-8") as log:
            log.write(text + "\n")

    def _tell(self) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= 10:
            self._told_s = now_s
            took = now_s - self._began_s
            print(
                f"soak: {self.passed} passed in {took:.0f} s, {self._todo.qsize()} to go",
                flush=True,
            )


def start_servers(cases: Sequence[Case]) -> None:
    """Start what the cases need, in this thread: a server ends with the one it was born in."""
    needed = {}
    for case in cases:
        for backend in (*case.combo.participants, case.combo.log):
            if backend.needs_server:
                needed[backend.name] = backend
    for backend in needed.values():
        backend.log_url(FOLDER)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        description="Run the whole product of crash points.",
        epilog="Exit codes: 0 all have passed, 1 a case failed, 2 usage, 75 some are left (the "
        "time was over, or Ctrl-C): run it again to go on.",
    )
    parser.add_argument("--seed", type=int, help="the order and the chances (default: random)")
    parser.add_argument("--tenth", action="store_true", help="a tenth of the cases, by the seed")
    parser.add_argument("--rounds", type=int, default=2, help="how often, the first time as told")
    parser.add_argument(
        "--minutes", type=float, help="stop after so long (--tenth: 25); run again to go on"
    )
    # They wait more than they work.
    jobs = 2 * (os.cpu_count() or 1)
    parser.add_argument("--jobs", type=int, default=jobs, help="cases at once")
    parser.add_argument("--only", help="run the cases whose id has this in it, and keep no state")
    parser.add_argument("--list", action="store_true", help="list the ids and run nothing")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is left to run, and return the exit code."""
    options = parse(arguments)
    sys.path.insert(0, str(ROOT))
    FOLDER.mkdir(exist_ok=True)
    logging.basicConfig(filename=FOLDER / "soak.log", level=logging.WARNING)
    state, cases = begin(options)
    todo = [case for case in cases if case.id not in state.done]
    before = len(cases) - len(todo)
    print(f"soak: seed {state.seed}, {len(cases)} cases, {before} passed before", flush=True)
    if options.list:
        print("\n".join(case.id for case in todo))
        return 0
    if not cases:
        print(f"soak: no case has {options.only!r} in its id; --list shows them", flush=True)
        return USAGE
    minutes = options.minutes
    if minutes is None:
        minutes = TENTH_MINUTES if options.tenth and options.only is None else float("inf")
    end_s = time.monotonic() + 60 * minutes
    start_servers(todo)
    crew = Crew(state, todo, end_s)
    crew.run(options.jobs)
    left = len(todo) - crew.passed - len(crew.failed)
    print(f"soak: seed {state.seed}: {crew.passed} passed, {len(crew.failed)} failed, {left} left")
    if crew.failed or crew.broken:
        return FAILED
    if left:
        again = "run it again to go on" if state.kept else "with --only nothing is kept"
        print(f"soak: {left} cases were not run; {again}", flush=True)
    return LEFT if left else 0


if __name__ == "__main__":
    sys.exit(main())
