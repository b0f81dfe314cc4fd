"""The placement kernel in C, where it was built.

Without it everything works and gives the same answers, more slowly: a package that was installed
without a compiler has none, and ``CONCORDANT_KERNEL=python`` leaves it aside.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, Final

from concordant.errors import UsageError

_CHOICE: Final = "CONCORDANT_KERNEL"


def _load() -> ModuleType | None:
    choice = os.environ.get(_CHOICE, "")
    if choice not in ("", "c", "python"):
        raise UsageError(f"{_CHOICE} is {choice!r}; set it to c or python, or not at all")
    if choice == "python":
        return None
    try:
        import concordant._native as built
    except ImportError as error:
        if choice == "c":
            raise UsageError(
                f"{_CHOICE} is c, but the kernel was not built ({error}); install a C compiler"
                " and this package again"
            ) from error
        return None
    return built


native: Final[Any] = _load()
