"""The pages of the documentation: their fenced blocks, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`]*)$")
_FILE = re.compile(r"^# (?P<name>[\w.-]+\.\w+)$")
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: `line` is that of its first line of text, `heading` the one above it."""

    page: str
    heading: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file_name(self) -> str:
        """The file that the block is to be saved as, by a comment in its first line, or ""."""
        found = _FILE.match(self.text.partition("\n")[0])
        return found["name"] if found else ""


def pages() -> list[str]:
    """Return the pages whose blocks are tested, by their paths from the root."""
    below = sorted((ROOT / "docs").rglob("*.md"))
    return ["README.md", "CONTRIBUTING.md", *(page.relative_to(ROOT).as_posix() for page in below)]


def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks_of(page: str, text: str | None = None) -> list[Block]:
    """Return the page's blocks in order; raises ValueError for a fence that is never closed."""
    found: list[Block] = []
    for start, indent, info, heading, lines in _fences(text_of(page) if text is None else text):
        cut = [line.removeprefix(indent) for line in lines]
        found.append(Block(page, heading, start, info.strip(), "\n".join(cut) + "\n"))
    return found


def prose_of(page: str, text: str | None = None) -> str:
    """Return the page without its fenced blocks."""
    lines = (text_of(page) if text is None else text).splitlines()
    for start, _, _, _, inside in _fences("\n".join(lines)):
        for number in range(start - 2, start + len(inside)):
            lines[number] = ""
    return "\n".join(lines)


def _fences(text: str) -> Iterator[tuple[int, str, str, str, list[str]]]:
    """Yield the first line's number, indent, info string, heading and lines of each fence."""
    heading, begun = "", None
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if begun is None and line.startswith("#"):
            heading = line.lstrip("#").strip()
        elif begun is None and fence:
            begun = (number + 1, fence["indent"], fence["info"], heading, list[str]())
        elif begun is not None and fence and not fence["info"].strip():
            yield begun
            begun = None
        elif begun is not None:
            begun[-1].append(line)
    if begun is not None:
        raise ValueError(f"the fence in line {begun[0] - 1} is never closed")


def links_of(page: str) -> list[str]:
    """Return where the page's links lead, as written."""
    return [found["target"] for found in _LINK.finditer(prose_of(page))]


def anchors_of(page: str) -> set[str]:
    """Return the anchors that a page's headings have on the usual hosts."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(page: str, heading: str) -> str:
    """Return the text under a heading of the page, up to the next heading of any level."""
    parts = re.split(r"^#+ (.+)$", text_of(page), flags=re.MULTILINE)
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        if title.strip().strip("`") == heading:
            return body
    raise AssertionError(f"{page} has no heading {heading!r}")


def code_in(text: str) -> set[str]:
    """Return what stands in backquotes."""
    return set(re.findall(r"`([^`\n]+)`", text))


def rows(text: str) -> list[list[str]]:
    """Return the cells of the table rows in a text, heads included."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if not all(re.fullmatch(r":?-+:?", cell) for cell in row)]
