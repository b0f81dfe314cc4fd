"""Where the command line begins: before anything is imported that may not be installed."""

from __future__ import annotations

import sys
from typing import Final

_MISCONFIGURED: Final = 78


def run() -> int:
    """Run the command line and return the exit code."""
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        print(
            f"concordant: the command line needs {error.name}: pip install 'concordant[cli]'",
            file=sys.stderr,
        )
        return _MISCONFIGURED
    from concordant.cli.main import run as run_commands

    return run_commands()
