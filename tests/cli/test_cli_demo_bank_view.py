"""What people see of the bank at work, on a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_BAR = re.compile(r"transfers [^\r\n]* (\d+)/(\d+) +(\d+)/s +kills (\d+) +recovered (\d+)")


def on_a_terminal(*arguments: str, columns: int = 80) -> tuple[int, str, str]:
    """Run the bank with stderr on a terminal; return exit code, stdout and what it shows."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm"}
    for name in ("COLUMNS", "NO_COLOR"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-m", "concordant", "demo", "bank", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=slave,
        env=environment,
    )
    os.close(slave)
    shown = b""
    # Reading the end of a terminal that was hung up is an error on Linux.
    with contextlib.suppress(OSError):
        while part := os.read(master, 65536):
            shown += part
    os.close(master)
    assert process.stdout is not None
    with process.stdout as stdout:
        printed = stdout.read()
    return process.wait(30), printed.decode(), _ESCAPES.sub("", shown.decode())


def test_the_bar_shows_rate_kills_and_recoveries_as_they_happen(tmp_path: Path) -> None:
    options = ["--transfers", "800", "--kills", "2", "--seed", "3"]
    code, printed, shown = on_a_terminal("--dir", str(tmp_path / "bank"), *options)
    assert code == 0, shown
    bars = [tuple(map(int, found)) for found in _BAR.findall(shown)]
    assert bars, shown
    assert {total for _, total, *_ in bars} == {800}
    assert max(rate for _, _, rate, _, _ in bars) > 0
    # As they happen: no kill at first, then one, then two, and likewise what came of them.
    assert sorted({kills for *_, kills, _ in bars}) == [0, 1, 2]
    assert sorted({recovered for *_, recovered in bars})[0] == 0
    assert max(recovered for *_, recovered in bars) == 2
    assert shown.count("✗ kill") == shown.count("✓ recovered") == 2
    assert "+ joined" in shown
    assert "found nothing wrong" in printed


def test_it_never_hides_where_the_bank_lies(tmp_path: Path) -> None:
    """On one line, whatever the terminal's width, and the same beside JSON."""
    directory = tmp_path / f"[red] :bank: {'long' * 30}"
    options = ["--dir", str(directory), "--transfers", "10", "--kills", "0", "--seed", "5"]
    code, printed, shown = on_a_terminal(*options, columns=40)
    assert code == 0, shown
    assert f"The bank lies in {directory} (seed 5)" in shown
    assert f"  python audit_bank.py {directory}\n" in printed
    code, printed, shown = on_a_terminal("--dir", str(directory), "-o", "json")
    assert (code, printed.count("\n")) == (0, 1)
    assert shown.splitlines() == [f"The bank lies in {directory} (seed 5)"]
