"""The installer of servers, as far as it goes without installing anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import tidy


@pytest.fixture
def folder() -> Iterator[Path]:
    # Below tmp_path nobody but its owner may read, and the script runs as somebody else here.
    made = Path(tempfile.mkdtemp(prefix="concordant-servers-"))
    made.chmod(0o755)
    shutil.copy(tidy.ROOT / "tools/install_servers.sh", made)
    yield made
    shutil.rmtree(made)


def install(folder: Path, *packages: str) -> subprocess.CompletedProcess[str]:
    """Run the script without the rights of root."""
    (folder / "packages.txt").write_text("# comment\n\n" + "\n".join(packages) + "\n")
    command = ["bash", str(folder / "install_servers.sh"), str(folder / "packages.txt")]
    user = 65534 if os.geteuid() == 0 else None
    return subprocess.run(
        command, capture_output=True, text=True, check=False, user=user, group=user, cwd="/"
    )


def test_what_is_there_is_left_alone(folder: Path) -> None:
    done = install(folder, "bash", "sed  # with a comment")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_root_the_missing_packages_are_named(folder: Path) -> None:
    done = install(folder, "bash", "no-such-server-1", "no-such-server-2")
    assert done.returncode == 1
    assert "apt-get install --no-install-recommends no-such-server-1 no-such-server-2\n" in (
        done.stderr
    )
    assert "bash" not in done.stderr
