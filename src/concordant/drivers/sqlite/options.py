"""What a sqlite:// URL says, parsed once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from concordant.drivers.urls import file_path, mask, parameters
from concordant.errors import UsageError

_PARAMETERS: Final = frozenset({"wait_s"})
_WAIT_S_MIN: Final = 0.1
_WAIT_S_MAX: Final = 600.0


@dataclass(frozen=True, slots=True)
class SqliteOptions:
    """Where the file is, and how long to wait for other writers of it.

    `path` is absolute, so a later change of the working directory does no harm. `wait_s`
    bounds the wait for the turn to write; 10 s unless the URL says ``?wait_s=``.
    """

    path: str
    wait_s: float = 10.0

    @classmethod
    def parse(cls, url: str) -> SqliteOptions:
        """Return the options that the URL spells; raises UsageError for any other."""
        found = parameters(url, _PARAMETERS)
        path = os.path.abspath(file_path(url))
        if "wait_s" not in found:
            return cls(path)
        try:
            wait_s = float(found["wait_s"])
        except ValueError:
            wait_s = float("nan")
        if not _WAIT_S_MIN <= wait_s <= _WAIT_S_MAX:
            raise UsageError(f"{mask(url)}: wait_s is {_WAIT_S_MIN} to {_WAIT_S_MAX:.0f} seconds")
        return cls(path, wait_s)
