"""Stores that all who name them in this process share."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar
from urllib.parse import unquote, urlsplit

from concordant.drivers.urls import mask, parameters
from concordant.errors import UsageError

T = TypeVar("T")


def name_of(url: str) -> str:
    """Return the NAME of memory://NAME, which may be empty; raises UsageError for more."""
    parameters(url, frozenset())
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.path not in ("", "/"):
        raise UsageError(f"{mask(url)}: a store in memory is named as in memory://NAME")
    return unquote(parts.netloc)


class Shared(Generic[T]):
    """Named objects, each made on first use and dropped with its last user."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._mutex = threading.Lock()
        self._named: weakref.WeakValueDictionary[str, T] = weakref.WeakValueDictionary()

    def get(self, name: str) -> T:
        """Return the object of that name, the same for all who hold it at the same time."""
        with self._mutex:
            found = self._named.get(name)
            if found is None:
                found = self._named[name] = self._make()
            return found
