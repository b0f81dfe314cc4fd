"""What the targets of the Makefile need is made before they run."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_everything_is_tested_once_and_the_summary_comes_last() -> None:
    """Nothing is run again until it passes, and nothing is printed after pytest's last line."""
    done = subprocess.run(
        [
            "make",
            "--no-print-directory",
            "--dry-run",
            "test",
            "WORKERS=3",
            "PYTEST_ARGS=--of-the-caller",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    *before, last = done.stdout.strip().splitlines()
    assert last == ".venv/bin/python -m pytest -n 3 --of-the-caller"
    assert not any("pytest" in line for line in before)


def test_the_benchmarks_peers_are_installed_before_the_first_benchmark(tmp_path: Path) -> None:
    # Nothing is run; a folder that is not there makes every stamp one that is to be made.
    done = subprocess.run(
        ["make", "--dry-run", "bench", f"VENV={tmp_path}/venv"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    installed = done.stdout.index("install -c constraints.txt -r bench/requirements.txt")
    whole = done.stdout.index("install -c constraints.txt -e '.[all,test,lint]'")
    assert whole < installed < done.stdout.index("bench/redis_uncontended.py")
