"""The command without what it is made of."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_its_extra_the_command_says_what_to_install(missing: str) -> None:
    script = (
        f"import sys; sys.modules['{missing}'] = None\n"
        "from concordant.cli.start import run; sys.exit(run())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 78
    assert done.stdout == ""
    assert done.stderr == (
        f"concordant: the command line needs {missing}: pip install 'concordant[cli]'\n"
    )
