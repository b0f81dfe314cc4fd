"""Ask a backend whether it is there, with a bound that holds whatever its driver does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from concordant.drivers import registry
from concordant.drivers.urls import mask
from concordant.errors import BackendUnavailable

T = TypeVar("T")

# Leaves room for Python's own start within the 5 s that a user has to wait at most.
REACH_S: Final = 3.5


class Asking(Generic[T]):
    """A call under way in a daemon thread.

    The thread is left behind when time is up: a call that hangs inside a driver can be
    neither cancelled nor waited for.
    """

    def __init__(self, place: str, action: Callable[[], T]) -> None:
        self._place = place
        self._action = action
        self._values: list[T] = []
        self._errors: list[BaseException] = []
        self._since_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="concordant-reach", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._values.append(self._action())
        except BaseException as error:
            self._errors.append(error)

    def result(self, limit_s: float) -> T:
        """Return what the call returned; raises its error, or BackendUnavailable if it hangs.

        The limit counts from when it was asked.
        """
        self._thread.join(max(0.0, self._since_s + limit_s - time.monotonic()))
        if self._errors:
            raise self._errors[0]
        if not self._values:
            raise BackendUnavailable(
                f"{self._place} did not answer within {limit_s:g} s; is it running, and the URL"
                " right?"
            )
        return self._values[0]


def within(limit_s: float, place: str, action: Callable[[], T]) -> T:
    """Return what the action returns; BackendUnavailable if that takes longer."""
    return Asking(place, action).result(limit_s)


def check_all(questions: Iterable[tuple[str, Callable[[], None]]]) -> None:
    """Return once all calls have, each for a place; raises the first one's error that fails.

    They are asked side by side, so that together they take no longer than REACH_S.
    """
    for asking in [Asking(place, action) for place, action in questions]:
        asking.result(REACH_S)


def check_reachable(url: str) -> None:
    """Return once the lock store answers; raises BackendUnavailable after REACH_S."""

    def ask() -> None:
        store = registry.lock_store(url)
        try:
            store.apply([])
        finally:
            store.close()

    within(REACH_S, mask(url), ask)
