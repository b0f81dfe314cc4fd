"""Keys from arguments, files and stdin: read in batches, however many there are."""

from __future__ import annotations

import os
import stat
import sys
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import IO, Any, Final

import click

from concordant.cli.ring.progress import reading
from concordant.errors import UsageError
from concordant.placement import Placement

Command = Callable[..., Any]
Advance = Callable[[int], None]
Batch = Sequence[str | int]

STDIN: Final = "-"
BLOCK_BYTES: Final = 1 << 18
# A file without any line end is no list of keys, and must not be read whole to find that out.
KEY_BYTES_MAX: Final = 1 << 20


def keys_options(command: Command) -> Command:
    """Add KEYS and --keys."""
    argument = click.argument("keys", nargs=-1)
    option = click.option(
        "--keys",
        "files",
        multiple=True,
        metavar="FILE",
        help="Read keys from a file, one a line; '-' is stdin. Repeatable.",
    )
    return argument(option(command))


def batches(
    keys: Sequence[str], files: Sequence[str], placement: Placement, *, prints: bool
) -> Iterator[Batch]:
    """Yield the keys of a command in batches: its arguments, then the lines of its files.

    ``prints`` says that results go to stdout meanwhile, where they would mix with a progress bar
    if that is a terminal. Raises UsageError for files that cannot be read, and for lines that
    are no text or longer than 1 MiB.
    """
    convert = _whole_numbers if placement.hash_name == "int" else _as_they_are
    with ExitStack() as stack:
        streams = [stack.enter_context(_opened(file)) for file in files]
        sizes = [_size(stream) for stream in streams]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        if keys:
            yield convert(keys)
        typed = STDIN in files and sys.stdin.isatty()
        shown = bool(files) and not typed and not (prints and sys.stdout.isatty())
        advance = stack.enter_context(reading(total, shown))
        for stream, file in zip(streams, files, strict=True):
            for batch in _lines(stream, "stdin" if file == STDIN else repr(file), advance):
                yield convert(batch)


def _opened(file: str) -> AbstractContextManager[IO[bytes]]:
    if file == STDIN:
        if sys.stdin.isatty():
            click.echo("concordant: type keys, one a line, and end with Ctrl-D", err=True)
        return nullcontext(sys.stdin.buffer)
    try:
        return open(file, "rb")
    except OSError as error:
        raise UsageError(f"cannot read the keys in {file!r}: {error.strerror}") from error


def _size(stream: IO[bytes]) -> int | None:
    """Return how many bytes there are to come; None if that cannot be told."""
    try:
        about = os.fstat(stream.fileno())
    except OSError:
        return None
    return about.st_size if stat.S_ISREG(about.st_mode) else None


def _lines(stream: Any, title: str, advance: Advance) -> Iterator[list[str]]:
    """Yield lists of lines without their ends; bytes that are no UTF-8 are refused."""
    rest, before = b"", 0
    # read1 returns what a pipe has by now: whoever types or streams keys sees owners at once.
    while chunk := stream.read1(BLOCK_BYTES):
        advance(len(chunk))
        whole, end, tail = (rest + chunk).rpartition(b"\n")
        if len(tail) > KEY_BYTES_MAX:
            raise UsageError(
                f"line {before + whole.count(end or b'?') + bool(end) + 1} of {title} is longer "
                "than 1 MiB; keys stand one a line"
            )
        rest = tail
        if end:
            lines = _decoded(whole, title, before)
            before += len(lines)
            yield lines
    if rest:
        yield _decoded(rest, title, before)


def _decoded(block: bytes, title: str, before: int) -> list[str]:
    if not before:
        # Editors of some systems begin a text with a mark, which is no part of its first key.
        block = block.removeprefix(BOM_UTF8)
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError as error:
        number = before + block.count(b"\n", 0, error.start) + 1
        raise UsageError(f"line {number} of {title} is not UTF-8; a key is text") from None
    lines = text.split("\n")
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def _as_they_are(keys: Sequence[str]) -> Batch:
    return list(keys)


def _whole_numbers(keys: Sequence[str]) -> Batch:
    """Return keys as the ints that they are, for placements that take hashes as keys."""
    numbers: list[int] = []
    for key in keys:
        try:
            numbers.append(int(key))
        except ValueError:
            raise UsageError(
                f"{key[:40]!r} is no whole number, and this placement takes hashes as keys"
            ) from None
    return numbers
