"""From a backend's URL to its driver, imported only when it is asked for."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, Final, NamedTuple, cast

from concordant.drivers.base import (
    AsyncLockStore,
    AsyncParticipant,
    AsyncTransactionLog,
    LockStore,
    Participant,
    TransactionLog,
)
from concordant.drivers.capabilities import Survey
from concordant.drivers.stepport import AsyncBarrier, Barrier
from concordant.drivers.urls import mask, scheme_of
from concordant.errors import GuaranteeUnavailable, UsageError

_LOCKS: Final = "lock_store"
_ALL: Final = (_LOCKS, "transaction_log", "participant", "barrier")


class _Driver(NamedTuple):
    """Where a scheme's driver is, and what it offers.

    `extra` installs what it needs. The ports are written down here too, so that what a
    backend cannot do is known without importing any driver, whose extra may be missing.
    `makes`: the first use makes tables there; its module `survey` tells whether they are.
    """

    module: str
    extra: str
    ports: tuple[str, ...]
    makes: bool = False


_DRIVERS: Final[dict[str, _Driver]] = {
    "memory": _Driver("concordant.drivers.memory", "", (_LOCKS, "transaction_log")),
    "sqlite": _Driver("concordant.drivers.sqlite", "", _ALL, makes=True),
    "postgresql": _Driver("concordant.drivers.postgres", "postgres", _ALL, makes=True),
    "redis": _Driver("concordant.drivers.redis", "redis", (_LOCKS,)),
}

# Other ways to reach the same backend, which the driver tells apart by the URL.
_ALIASES: Final = {"rediss": "redis"}

# What each port gives, in a user's words.
_PORTS: Final = {
    _LOCKS: "has no locks",
    "transaction_log": "cannot be a transaction log",
    "participant": "cannot be a participant in two-phase commit",
    "barrier": "cannot be a database with barriers for saga steps",
}


def schemes() -> list[str]:
    """Return the URL schemes that this version knows, in order."""
    return sorted(_DRIVERS)


def drivers_with(port: str) -> list[str]:
    """Return the schemes whose driver offers the port; imports none of them."""
    return [scheme for scheme in schemes() if port in _DRIVERS[scheme].ports]


def check_scheme(url: str) -> None:
    """Raise UsageError unless the URL's scheme is known, naming those that are."""
    _driver(url)


def _driver(url: str) -> _Driver:
    scheme = scheme_of(url)
    try:
        return _DRIVERS[_ALIASES.get(scheme, scheme)]
    except KeyError:
        known = ", ".join(f"{name}://{_installed_by(name)}" for name in schemes())
        raise UsageError(f"no driver for {scheme}://; known are {known}") from None


def _installed_by(scheme: str) -> str:
    extra = _DRIVERS[scheme].extra
    return f" (pip install 'concordant[{extra}]')" if extra else ""


def _load(url: str) -> ModuleType:
    """Import the driver; raises UsageError naming the extra if what it needs is missing."""
    driver = _driver(url)
    try:
        return importlib.import_module(driver.module)
    except ImportError as error:
        # Only what an extra installs can be missing here; our own modules never are.
        if not driver.extra or (error.name or "").startswith("concordant"):
            raise
        # One that is there, and lacks a library of its own, comes without a name.
        package = (error.name or "").partition(".")[0]
        needs = f"the package {package}" if package else "more than is installed"
        raise UsageError(
            f"{scheme_of(url)}:// needs {needs}: pip install 'concordant[{driver.extra}]'"
        ) from error


def survey(url: str, port: str) -> Survey:
    """Find out whether the port has been used there, making nothing; connects and closes.

    Raises BackendUnavailable if nothing answers, GuaranteeUnavailable if the backend has no
    such port. What leaves nothing behind by being looked at counts as made.
    """
    _check_port(url, port)
    driver = _driver(url)
    _load(url)
    if not driver.makes:
        return Survey()
    return cast(Survey, importlib.import_module(f"{driver.module}.survey").survey(url, port))


def _open(url: str, port: str, factory: str) -> Any:
    _check_port(url, port)
    return getattr(_load(url), factory)(url)


def _check_port(url: str, port: str) -> None:
    # Before any import: what a driver cannot do, it cannot do with its extra either.
    if port not in _driver(url).ports:
        having = ", ".join(f"{name}://{_installed_by(name)}" for name in drivers_with(port))
        instead = f"use {having}" if having else "no backend of this version does better"
        raise GuaranteeUnavailable(f"{mask(url)} {_PORTS[port]}; {instead}")


def lock_store(url: str) -> LockStore:
    """Return the lock store behind the URL, not yet connected."""
    return cast(LockStore, _open(url, "lock_store", "lock_store"))


def async_lock_store(url: str) -> AsyncLockStore:
    """Return the lock store behind the URL, not yet connected."""
    return cast(AsyncLockStore, _open(url, "lock_store", "async_lock_store"))


def transaction_log(url: str) -> TransactionLog:
    """Return the transaction log behind the URL, not yet connected."""
    return cast(TransactionLog, _open(url, "transaction_log", "transaction_log"))


def async_transaction_log(url: str) -> AsyncTransactionLog:
    """Return the transaction log behind the URL, not yet connected."""
    return cast(AsyncTransactionLog, _open(url, "transaction_log", "async_transaction_log"))


def participant(url: str) -> Participant:
    """Return the participant behind the URL, not yet connected."""
    return cast(Participant, _open(url, "participant", "participant"))


def async_participant(url: str) -> AsyncParticipant:
    """Return the participant behind the URL, not yet connected."""
    return cast(AsyncParticipant, _open(url, "participant", "async_participant"))


def barrier(url: str) -> Barrier:
    """Return the database with barriers behind the URL, not yet connected."""
    return cast(Barrier, _open(url, "barrier", "barrier"))


def async_barrier(url: str) -> AsyncBarrier:
    """Return the database with barriers behind the URL, not yet connected."""
    return cast(AsyncBarrier, _open(url, "barrier", "async_barrier"))
