"""The entry point: the commands, and how each error ends."""

from __future__ import annotations

import importlib
import logging
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import click

from concordant.cli import exits
from concordant.cli.options import Settings, shared_options

# Imported when asked for, so that each command starts with what it needs and no more.
_COMMANDS: Final = {
    "demo": "concordant.cli.demo",
    "doctor": "concordant.cli.doctor",
    "lock": "concordant.cli.locks",
    "ring": "concordant.cli.ring",
    "tx": "concordant.cli.tx",
}


class _Commands(click.Group):
    """The commands by name; each is an object of its own name in its own module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[cmd_name])
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="concordant", message="%(prog)s %(version)s")
@shared_options
def concordant() -> None:
    """Placement, locks and transactions for services of many processes."""


def run() -> int:
    """Run the command line and return the exit code."""
    return execute(sys.argv[1:])


def execute(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; an error is one line on stderr."""
    settings = Settings()
    _log_to_stderr(settings)
    try:
        result = concordant.main(
            list(arguments), prog_name="concordant", standalone_mode=False, obj=settings
        )
        return result if isinstance(result, int) else 0
    except click.Abort:
        return exits.SIGNALLED + 2
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return exits.USAGE
    except click.ClickException as error:
        _complain(_usage(error))
        return exits.USAGE
    except Exception as error:
        if settings.verbose:
            traceback.print_exc()
        _complain(exits.one_line(error))
        return exits.code_of(error)


def _usage(error: click.ClickException) -> str:
    said = " ".join(error.format_message().split()).removesuffix(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{said}; see '{context.command_path} --help'" if context else said


def _complain(message: str) -> None:
    click.echo(f"concordant: {message}", err=True)


def _log_to_stderr(settings: Settings) -> None:
    def shorten(record: logging.LogRecord) -> bool:
        """Keep a message to one line, unless it was asked where exceptions come from."""
        if record.exc_info and not settings.verbose:
            record.msg = f"{record.getMessage()}: {record.exc_info[1]!r}"
            record.args = record.exc_info = None
        return True

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(levelname)s: %(message)s"))
    handler.addFilter(shorten)
    logger = logging.getLogger("concordant")
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(run())
