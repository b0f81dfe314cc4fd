"""Which way of testing claims a block of the documentation; none may be left over."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable

from tests.cli.pages import ROOT, Block, pages, text_of
from tests.cli.stage import Stage, commands_of
from tests.cli.terminals import DRIVERS

# Commands that are about a checkout; running them here would build or change it.
_OF_A_CHECKOUT = ("make ", "python3 -m venv ", ".venv/bin/", ". .venv/bin/")


def way_of(block: Block) -> Callable[[Stage, Block], None]:
    """Return what tests the block; raises ValueError for one that nothing would test."""
    match block.language:
        case "python":
            return Stage.save if block.file_name else Stage.python
        case "console" if any(_of_a_checkout(command) for command, _ in commands_of(block)):
            return check_checkout
        case "console":
            return Stage.console
        case "json":
            return check_json
        case "markdown":
            return check_form
    raise ValueError(f"{block}: nothing tests a block of {block.language or 'no language'!r}")


def play(stage: Stage, blocks: list[Block]) -> None:
    """Test a page's blocks in order; those under a heading that has a driver, by that."""
    left = list(blocks)
    while left:
        block = left[0]
        driver = DRIVERS.get((block.page, block.heading))
        if driver is None:
            way_of(block)(stage, left.pop(0))
            continue
        mine = [each for each in left if each.heading == block.heading]
        left = [each for each in left if each.heading != block.heading]
        for each in mine:
            way_of(each)  # a driver is no way around the languages
        driver(stage, mine)


def _of_a_checkout(command: str) -> bool:
    return command.startswith(_OF_A_CHECKOUT)


def check_checkout(stage: Stage, block: Block) -> None:
    """Check that what the commands name is there: targets, extras, tools."""
    for command, _ in commands_of(block):
        words = re.sub(r"\s+# .*", "", command).split()
        assert _fits_checkout(words), f"{block}: {command!r} does not fit this checkout"


def _fits_checkout(words: list[str]) -> bool:
    match words:
        case ["make", *rest]:
            makefile = (ROOT / "Makefile").read_text("utf-8")
            targets = [word for word in rest if "=" not in word]
            return bool(targets) and all(f"\n{name}:" in makefile for name in targets)
        case [".venv/bin/pip", "install", what]:
            named = re.fullmatch(r"'\.\[([\w,]+)\]'", what)
            return named is not None and set(named[1].split(",")) <= _extras()
        case [".venv/bin/python", tool]:
            return tool.startswith(("tools/", "bench/")) and (ROOT / tool).is_file()
        case ["python3", "-m", "venv", ".venv"] | [".", ".venv/bin/activate"]:
            return True
    return False


def _extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return set(project["optional-dependencies"])


def check_json(stage: Stage, block: Block) -> None:
    json.loads(block.text)


def check_form(stage: Stage, block: Block) -> None:
    """Check that the pages beside the form have its headings."""
    wanted = re.findall(r"^## .+$", block.text, re.MULTILINE)
    folder = block.page.rpartition("/")[0]
    written = [page for page in pages() if re.fullmatch(rf"{folder}/\d{{4}}-[\w-]+\.md", page)]
    assert wanted
    assert written
    for page in written:
        assert re.findall(r"^## .+$", text_of(page), re.MULTILINE) == wanted, page
