"""The options that every command shares, before or after its name; the inner one wins."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click

from concordant.errors import UsageError

Command = Callable[..., Any]

_LEVELS: Final = (logging.WARNING, logging.INFO, logging.DEBUG)


@dataclass
class Settings:
    """What the shared options say so far; one object for a command and all above it."""

    url: str = ""
    output: str = "text"
    verbose: int = 0

    @property
    def as_json(self) -> bool:
        """Whether stdout is to carry JSON and nothing else."""
        return self.output == "json"


pass_settings = click.make_pass_decorator(Settings, ensure=True)


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Note a value that was given; what an inner command says comes later, and so wins."""
    settings = context.ensure_object(Settings)
    if value:
        assert parameter.name is not None
        setattr(settings, parameter.name, value)
    logging.getLogger("concordant").setLevel(_LEVELS[min(settings.verbose, len(_LEVELS) - 1)])


def output_options(command: Command) -> Command:
    """Add -o and -v, for a command that asks no store."""
    output = click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        expose_value=False,
        callback=_keep,
        help="json puts JSON alone on stdout.  [default: text]",
    )
    verbose = click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_keep,
        help="Log to stderr (-vv: more), and show where an error comes from.",
    )
    return output(verbose(command))


def shared_options(command: Command) -> Command:
    """Add --url, -o and -v."""
    url = click.option(
        "--url",
        metavar="URL",
        expose_value=False,
        callback=_keep,
        help="The backend.  [default: $CONCORDANT_URL, or a file in your state directory]",
    )
    return url(output_options(command))


def store_url(settings: Settings, embedded: str = "locks.db", make: bool = False) -> str:
    """Return the URL to use: the one given, the environment's, or the embedded file's.

    `make`: make the directory of the embedded file.
    """
    return settings.url or os.environ.get("CONCORDANT_URL") or embedded_url(embedded, make)


def embedded_url(file: str, make: bool = False) -> str:
    """Return the URL of a SQLite file in the user's state directory."""
    given = os.environ.get("XDG_STATE_HOME", "")
    try:
        # The XDG rules: a relative path there is to be ignored.
        state = Path(given) if os.path.isabs(given) else _state_home()
    except RuntimeError:
        raise UsageError("there is no home directory to keep state in; give --url") from None
    folder = state / "concordant"
    if make:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return f"sqlite://{quote(str(folder / file))}"


def _state_home() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path.home() / ".local" / "state"
