"""The soak: its exit codes, what it keeps, and that a run goes on where one was broken off."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.crash.harness import ROOT, wait_until
from tests.crash.stage import Stage
from tools import soak

# Real cases, few enough to be run again and again: no server, one point, both worlds.
ONLY = "sqlite+sqlite/sqlite/2pc/crash/A4-voted/"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where these runs keep what has passed; the tree's own runs are left alone."""
    monkeypatch.setattr(soak, "FOLDER", tmp_path / "soak")
    return tmp_path / "soak"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> list[soak.Case]:
    """A product of a few cases, whose list a test may change."""
    cases = [case for case in soak.every_case(7, 2) if ONLY in case.id]
    assert len(cases) == 4

    def every_case(seed: int, rounds: int) -> Iterator[soak.Case]:
        yield from cases

    monkeypatch.setattr(soak, "every_case", every_case)
    return cases


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run the soak and return its exit code, and what it has said."""
    code = soak.main([*arguments, "--jobs", "2"])
    return code, capsys.readouterr().out


def done(folder: Path) -> list[str]:
    """Return the ids of what is kept as passed."""
    return sorted((folder / "done").read_text("utf-8").splitlines())


def failing(case: soak.Case) -> soak.Case:
    """Return a case that runs as this one, and is found to have failed."""

    def fail(stage: Stage) -> None:
        case.run(stage)
        raise AssertionError("planted")

    return replace(case, run=fail)


def seed_of(said: str) -> int:
    """Return the seed that a run has told."""
    told = set(re.findall(r"seed (\d+)", said))
    assert len(told) == 1, said
    return int(told.pop())


def test_all_passed_is_0_and_the_next_run_begins_anew(
    few: list[soak.Case], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(capsys, "--seed", "0")
    assert code == 0
    assert "seed 0, 4 cases, 0 passed before" in said
    assert "seed 0: 4 passed, 0 failed, 0 left" in said
    assert done(folder) == sorted(case.id for case in few)
    code, said = run(capsys, "--minutes", "0")
    assert code == soak.LEFT
    assert "4 cases, 0 passed before" in said
    assert done(folder) == []


def test_a_failure_is_1_and_what_has_passed_is_not_run_again(
    few: list[soak.Case], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = few[2]
    few[2] = failing(whole)
    code, said = run(capsys)
    assert code == soak.FAILED
    seed = seed_of(said)
    assert f"--seed {seed} --only '{whole.id}'" in said
    assert "planted" in (folder / "failures.log").read_text("utf-8")
    assert done(folder) == sorted(case.id for case in few if case.id != whole.id)
    # The books of the case that failed are left as they were.
    assert list(folder.glob("case-*"))

    few[2] = whole
    code, said = run(capsys)
    assert code == 0
    assert f"seed {seed}, 4 cases, 3 passed before" in said
    assert f"seed {seed}: 1 passed, 0 failed, 0 left" in said


def test_time_that_is_over_is_75_and_the_next_run_goes_on(
    few: list[soak.Case], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(capsys, "--minutes", "0")
    assert code == soak.LEFT == 75
    assert "0 passed, 0 failed, 4 left" in said
    assert "4 cases were not run; run it again to go on" in said
    seed = seed_of(said)
    code, said = run(capsys)
    assert code == 0
    assert seed_of(said) == seed


def test_an_interrupted_run_is_75_and_the_next_one_does_the_rest(
    few: list[soak.Case], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = list(few)

    def interrupt(case: soak.Case) -> soak.Case:
        def play(stage: Stage) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            case.run(stage)

        return replace(case, run=play)

    few[:] = [interrupt(case) for case in few]
    # One after the other, so that the first of them is the last.
    code = soak.main(["--jobs", "1"])
    assert code == soak.LEFT
    said = capsys.readouterr().out
    assert "ending after the cases at hand" in said
    # The case at hand was brought to its end.
    passed = len(done(folder))
    assert passed == 1
    assert "1 passed, 0 failed, 3 left" in said
    few[:] = whole
    code, again = run(capsys)
    assert code == 0
    assert f"seed {seed_of(said)}, 4 cases, {passed} passed before" in again


@pytest.mark.server
@pytest.mark.slow
def test_ctrl_c_in_a_terminal_harms_no_case_at_hand(folder: Path) -> None:
    # A terminal tells every process of the group, the helpers and the servers, too.
    script = (
        "import sys; from pathlib import Path; from tools import soak;"
        f"soak.FOLDER = Path({str(folder)!r}); sys.exit(soak.main())"
    )
    arguments = ["--only", "postgresql+postgresql/postgresql/2pc/pause/A", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        wait_until(lambda: bool(list(folder.glob("case-*/child-*"))), "a case is at hand")
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=50)
    finally:
        process.kill()
    assert "ending after the cases at hand" in said
    assert re.search(r": [12] passed, 0 failed, [1-9]\d* left", said), said
    assert process.returncode == soak.LEFT


def test_a_failure_goes_before_what_is_left(
    few: list[soak.Case], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few[:] = [failing(case) for case in few]
    now_s: Any = soak.time.monotonic

    def play(crew: Any, theatre: Any, case: soak.Case) -> None:
        real_play(crew, theatre, case)
        crew._end_s = now_s()

    real_play = soak.Crew._play
    monkeypatch.setattr(soak.Crew, "_play", play)
    assert soak.main(["--jobs", "1"]) == soak.FAILED
    assert "0 passed, 1 failed, 3 left" in capsys.readouterr().out


def test_a_crew_that_cannot_work_is_1(
    few: list[soak.Case], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(crew: soak.Crew) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(soak.Crew, "_take_cases", broken)
    assert soak.main(["--jobs", "2"]) == soak.FAILED
    said = capfd.readouterr()
    assert "0 passed, 0 failed, 4 left" in said.out
    assert "no more processes" in said.err


def test_one_case_is_run_again_by_its_seed_and_keeps_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()
    kept = {"seed": 5, "tenth": False, "rounds": 2}
    (folder / "state.json").write_text(json.dumps(kept), "utf-8")
    (folder / "done").write_text("one\n", "utf-8")
    code, said = run(capsys, "--seed", "0", "--only", f"{ONLY}-/sync/0")
    assert code == 0
    # The seed that is asked for, and not the one that is kept.
    assert "seed 0, 1 cases, 0 passed before" in said
    assert done(folder) == ["one"]
    assert json.loads((folder / "state.json").read_text("utf-8")) == kept
    code, said = run(capsys, "--only", ONLY, "--minutes", "0")
    assert code == soak.LEFT
    assert "seed 5, 4 cases" in said
    assert "with --only nothing is kept" in said


def test_a_case_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(capsys, "--only", "no such case")
    assert code == soak.USAGE
    assert "'no such case'" in said


def test_the_tenth_is_a_tenth_in_the_order_of_the_seed() -> None:
    every = soak.plan(3, 2, False)
    assert len({case.id for case in every}) == len(every)
    tenth = soak.plan(3, 2, True)
    assert [case.id for case in tenth] == [case.id for case in every[: len(tenth)]]
    assert 10 * len(tenth) >= len(every) > 10 * (len(tenth) - 1)
    assert [case.id for case in soak.plan(4, 2, True)] != [case.id for case in tenth]
