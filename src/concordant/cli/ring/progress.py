"""A bar on stderr while many keys are read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

# What is read within a moment needs no bar.
LONG_BYTES: Final = 4 << 20


@contextmanager
def reading(total: int | None, shown: bool) -> Iterator[Callable[[int], None]]:
    """Show how much is read; yields what is to be told of each number of bytes.

    Nothing is shown unless stderr is a terminal and the input is long, or of unknown length.
    """
    if not shown or not sys.stderr.isatty() or (total is not None and total < LONG_BYTES):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("keys"),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bar:
        task = bar.add_task("keys", total=total)
        yield lambda size: bar.update(task, advance=size)
