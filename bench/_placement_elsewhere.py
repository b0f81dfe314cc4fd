"""Peers that this interpreter cannot have, measured by a newer one beside the same basis."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OLDEST = (3, 13)
TIMEOUT_S = 900


def prepared(folder: Path, packages: AbstractSet[str]) -> str:
    """Return the Python of an environment in the folder that has the packages.

    It is made when it is not there; raises OSError when that is not possible, saying why.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        _run([_newer(), "-m", "venv", str(folder)])
    lines = (HERE / "requirements.txt").read_text("utf-8").splitlines()
    pinned = [line for line in lines if re.split(r"[=<>;\s]", line)[0] in packages]
    _run([str(python), "-m", "pip", "install", "--quiet", *pinned])
    return str(python)


def _newer() -> str:
    for candidate in _candidates():
        test = f"import sys; sys.exit(sys.version_info < {OLDEST})"
        # A shim may be there for a version that is not.
        if subprocess.run([candidate, "-c", test], capture_output=True).returncode == 0:
            return candidate
    raise OSError(f"no Python {'.'.join(map(str, OLDEST))} or newer was found on this machine")


def _candidates() -> Iterator[str]:
    names = ["python3", *(f"python3.{minor}" for minor in range(19, OLDEST[1] - 1, -1))]
    yield from filter(None, map(shutil.which, names))
    yield from map(str, sorted(Path.home().glob(".pyenv/versions/*/bin/python3")))


def measured(python: str, only: Sequence[str], arguments: Sequence[str]) -> Any:
    """Return what that interpreter measured, as JSON; raises OSError if it cannot."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.json"
        program = str(HERE / "placement_tables.py")
        chosen = [word for name in only for word in ("--only", name)]
        _run([python, program, *arguments, *chosen, "--json", str(file)])
        return json.loads(file.read_text("utf-8"))


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise OSError(f"{command[0]} took more than {TIMEOUT_S} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise OSError(f"{command[0]} failed: {last}")
