"""The page of the command line and the command line agree, in both directions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields

import click
import pytest

from concordant.cli import exits
from concordant.cli.looking import Doubt
from concordant.cli.main import concordant as program
from tests.cli.pages import blocks_of, code_in, rows, section, text_of

COMMAND_LINE = "docs/reference/command-line.md"


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, by its full name."""

    def below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        if not isinstance(command, click.Group):
            yield name, command
            return
        context = click.Context(command)
        for each in command.list_commands(context):
            inner = command.get_command(context, each)
            assert inner is not None
            yield from below(f"{name} {each}", inner)

    yield from below("concordant", program)


COMMANDS = list(commands())
NAMES = [name for name, _ in COMMANDS]


def flags(command: click.Command) -> set[str]:
    """Return every spelling of every option."""
    options = [each for each in command.params if isinstance(each, click.Option)]
    return {flag for each in options for flag in (*each.opts, *each.secondary_opts)}


def flags_in(text: str) -> set[str]:
    """Return the options that a text names in backquotes."""
    return {
        flag
        for code in code_in(text)
        for flag in re.findall(r"(?<![\w-])-(?:-[a-z][a-z-]*|[a-zA-Z]\b)", code)
        if not code.startswith("concordant ")
    }


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=NAMES)
def test_every_option_of_a_command_is_on_its_page(name: str, command: click.Command) -> None:
    documented = flags_in(section(COMMAND_LINE, name))
    if name == "concordant demo bank":
        assert documented == flags(command)
        documented = flags_in(section("docs/reference/demo-bank.md", "Options"))
    assert flags(command) <= documented, f"{name}: not on the page"
    assert documented <= flags(command), f"{name}: no such options"


def test_every_section_is_a_command_that_there_is() -> None:
    headings = re.findall(r"^## `(concordant [^`]+)`$", text_of(COMMAND_LINE), re.MULTILINE)
    assert sorted(headings) == sorted(NAMES)


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=NAMES)
def test_every_command_and_option_has_a_help_text(name: str, command: click.Command) -> None:
    assert command.help
    options = [each for each in command.params if isinstance(each, click.Option)]
    # The others' names and defaults say it already.
    silent = {each.opts[0] for each in options if not each.help}
    assert silent <= {"--workers", "--kills", "--pattern"}


def test_defaults_of_lock_run_are_those_on_its_page() -> None:
    options = {each.name: each for each in dict(COMMANDS)["concordant lock run"].params}
    told = {row[0]: row[1].strip("`") for row in rows(section(COMMAND_LINE, "concordant lock run"))}
    for name in ("conflict_exit_code", "ttl_s", "on_lost", "grace_s"):
        flag = options[name].opts[-1]
        (shown,) = [default for names, default in told.items() if f"`{flag}" in names]
        assert shown == str(options[name].default), flag


def test_every_exit_code_is_on_the_page() -> None:
    told = {row[0] for row in rows(section(COMMAND_LINE, "Exit codes"))}
    codes = {value for name, value in vars(exits).items() if name.isupper() and name[0] != "_"}
    assert {str(code) for code in codes - {exits.SIGNALLED}} <= told
    assert f"{exits.SIGNALLED} + n" in told


def test_tx_ls_prints_the_fields_of_its_page() -> None:
    (shown,) = [
        json.loads(block.text)
        for block in blocks_of(COMMAND_LINE)
        if block.language == "json" and block.heading == "`concordant tx ls`"
    ]
    assert list(shown) == ["log_id", "doubts", "unreached"]
    assert list(shown["doubts"][0]) == [each.name for each in fields(Doubt)]
