"""Generate the sync trees from the async ones, token by token.

Run without arguments to write the trees, with ``--check`` to compare them only. What differs
between the two worlds by more than words (waiting, locking, tasks) stands in
``concordant._bridge`` as twins under one name each, so nothing here has to understand code:

- ``async`` and ``await`` go;
- a name loses ``Async`` (``AsyncClient``), ``async_`` (``async_probe``) and its ``a``
  (``aclose``, ``__aenter__``); a part ``aio`` of a name becomes ``sync``;
- ``Awaitable[X]`` becomes ``X``;
- strings and comments have their words changed alike, so that docstrings and the examples in
  them stay true.

Everything else is kept as it was written. ``ruff`` then removes the imports that are no longer
used, sorts the others and formats the text, since names have changed their length.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

PAIRS = (
    ("src/concordant/aio", "src/concordant/sync"),
    ("src/concordant/drivers/postgres/aio", "src/concordant/drivers/postgres/sync"),
    ("tests/contract/aio", "tests/contract/sync"),
    ("tests/surface/aio", "tests/surface/sync"),
    ("tests/crash/aio", "tests/crash/sync"),
)

HEADER = "# Generated from {source} by tools/unasync.py; do not edit.\n"
_HEADER_START = HEADER.partition("{")[0]

# Names that no rule covers.
_NAMES = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "aclose": "close",
    "aclosing": "closing",
    "aiter": "iter",
    "anext": "next",
    "asynccontextmanager": "contextmanager",
    "enter_async_context": "enter_context",
    "push_async_callback": "callback",
    "push_async_exit": "push",
}

# Words of prose, in strings and comments only.
_WORDS = {"asynchronous": "synchronous", "Asynchronous": "Synchronous"}

_CAMEL = re.compile(r"Async(?=[A-Z])")
_PREFIX = re.compile(r"^(_*)async_(?=[A-Za-z0-9])")

# "await" stays where it is a word of prose: it goes before a call, in a replacement field of an
# f-string and on the right of an assignment.
_KEYWORD_IN_TEXT = re.compile(
    r"\bawait (?=[\w.]*\()|(?<=\{)await |(?<== )await |\basync (?=(?:def|for|with)\b)"
)
_ARTICLE_IN_TEXT = re.compile(r"\b([Aa])n (`*)(?=Async[B-DF-HJ-NP-TV-Z]|asynchronous\b)")
_PATH_IN_TEXT = re.compile(r"\b(_bridge|concordant|contract|crash|surface)([./])aio\b")
_WORD_IN_TEXT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Edit(NamedTuple):
    """Replace the characters from ``start`` to ``end`` of a text."""

    start: int
    end: int
    text: str


def rename(name: str) -> str:
    """Return the sync spelling of one identifier."""
    if name in _NAMES:
        return _NAMES[name]
    name = _PREFIX.sub(r"\1", _CAMEL.sub("", name))
    return "_".join("sync" if part == "aio" else part for part in name.split("_"))


def convert_text(text: str) -> str:
    """Return a string literal or a comment with its words in their sync spelling."""
    text = _ARTICLE_IN_TEXT.sub(r"\1 \2", text)
    text = _KEYWORD_IN_TEXT.sub("", text)
    text = _PATH_IN_TEXT.sub(r"\1\2sync", text)
    return _WORD_IN_TEXT.sub(_rename_word, text)


def _rename_word(match: re.Match[str]) -> str:
    word = match[0]
    # A lone "aio" in prose means the word itself; in a path it was dealt with before.
    return word if word == "aio" else _WORDS.get(word) or rename(word)


def convert(source: str) -> str:
    """Return the sync twin of one async module, not yet formatted."""
    pieces: list[str] = []
    done = 0
    for edit in sorted(_edits(source)):
        pieces += (source[done : edit.start], edit.text)
        done = edit.end
    return "".join([*pieces, source[done:]])


def _edits(source: str) -> Iterator[Edit]:
    tokens = list(_tokens(source))
    for index, (kind, start, end) in enumerate(tokens):
        word = source[start:end]
        if kind != "NAME":
            if (text := convert_text(word)) != word:
                yield Edit(start, end, text)
        elif word in ("async", "await"):
            yield Edit(start, _next_start(source, end), "")
        elif word == "Awaitable" and source[end : end + 1] == "[":
            yield Edit(start, end + 1, "")
            closing = _closing_bracket(source, tokens, index, end)
            yield Edit(closing, closing + 1, "")
        elif (name := rename(word)) != word:
            yield Edit(start, end, name)


def _next_start(source: str, end: int) -> int:
    while source[end : end + 1] in (" ", "\t"):
        end += 1
    return end


def _closing_bracket(
    source: str, tokens: Sequence[tuple[str, int, int]], index: int, opening: int
) -> int:
    """Return the offset of the bracket that closes the one at ``opening``."""
    # Brackets inside strings and comments do not count: jump over those tokens.
    opaque = {start: end for kind, start, end in tokens[index:] if kind != "NAME"}
    depth, at = 0, opening
    while True:
        if at in opaque:
            at = opaque[at]
            continue
        depth += {"[": 1, "]": -1}.get(source[at], 0)
        if depth == 0:
            return at
        at += 1


def _tokens(source: str) -> Iterator[tuple[str, int, int]]:
    """Yield kind, start and end of every name (NAME), string and comment (TEXT).

    From Python 3.12 an f-string is many tokens, before that one. Both ways it comes out as a
    single text here, so that every version generates the same.
    """
    starts = [0]
    for line in source.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    depth, opened = 0, 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = tokenize.tok_name[token.type]
        start = starts[token.start[0] - 1] + token.start[1]
        end = starts[token.end[0] - 1] + token.end[1]
        if name.endswith("STRING_START"):
            opened = opened if depth else start
            depth += 1
        elif name.endswith("STRING_END"):
            depth -= 1
            if not depth:
                yield "TEXT", opened, end
        elif not depth and name == "NAME":
            yield "NAME", start, end
        elif not depth and name in ("STRING", "COMMENT"):
            yield "TEXT", start, end


def tidied(text: str, path: str) -> str:
    """Return the text without unused imports, sorted and formatted as the project is."""
    config = str(ROOT / "pyproject.toml")
    text = _ruff(
        ["check", "--config", config, "--select", "I,F401", "--fix", "--quiet"], text, path
    )
    return _ruff(["format", "--config", config, "--quiet"], text, path)


def _ruff(arguments: list[str], text: str, path: str) -> str:
    ruff = Path(sys.executable).with_name("ruff")
    command = [str(ruff), *arguments, "--stdin-filename", path, "-"]
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, cwd=ROOT, check=False
    )
    # `check` exits 1 where it found something that it could not fix; the text is whole then too.
    if done.returncode > 1 or not done.stdout:
        raise SystemExit(f"unasync: ruff {arguments[0]} refused {path}:\n{done.stderr}")
    return done.stdout


def generate(root: Path, pairs: Sequence[tuple[str, str]] = PAIRS) -> dict[str, str]:
    """Return the text of every generated file, by its path below ``root``."""
    made: dict[str, str] = {}
    for source_folder, target_folder in pairs:
        for source in _modules(root / source_folder):
            inside = source.relative_to(root / source_folder)
            target = "/".join([target_folder, *map(_rename_part, inside.parts)])
            header = HEADER.format(source=source.relative_to(root).as_posix())
            made[target] = tidied(header + convert(source.read_text("utf-8")), target)
    return made


def _rename_part(part: str) -> str:
    stem, dot, suffix = part.partition(".")
    return rename(stem) + dot + suffix


def _modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


class Difference(NamedTuple):
    """What is wrong with one file of a generated tree, and the text that it should have."""

    path: str
    problem: str
    text: str | None


def differences(root: Path, pairs: Sequence[tuple[str, str]] = PAIRS) -> list[Difference]:
    """Compare the generated trees with what should be there, stale files included."""
    made = generate(root, pairs)
    found = []
    for path, text in made.items():
        file = root / path
        if not file.exists():
            found.append(Difference(path, "is missing", text))
        elif file.read_text("utf-8") != text:
            found.append(Difference(path, "is out of date", text))
    for _, target in pairs:
        for file in _modules(root / target):
            path = file.relative_to(root).as_posix()
            if path not in made:
                found.append(Difference(path, "has no source", None))
    return found


def mend(root: Path, found: Sequence[Difference]) -> list[Difference]:
    """Write what differs and return what cannot be mended: files that were written by hand."""
    left = []
    for difference in found:
        file = root / difference.path
        if difference.text is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(difference.text, "utf-8")
        elif file.read_text("utf-8").startswith(_HEADER_START):
            file.unlink()
        else:
            left.append(difference)
    return left


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or compare the trees; return 1 where something differs that was not mended."""
    parser = argparse.ArgumentParser(description="Generate the sync trees from the async ones.")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository (default: this)")
    options = parser.parse_args(arguments)
    found = differences(options.root)
    left = found if options.check else mend(options.root, found)
    for path, problem, _ in left:
        print(f"{path}: {problem}; run tools/unasync.py, or move what was written by hand")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
