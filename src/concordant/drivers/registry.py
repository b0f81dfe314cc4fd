"""From a backend's URL to its driver, imported only when it is asked for."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, Final, cast

from concordant.drivers.base import (
    AsyncBarrier,
    AsyncLockStore,
    AsyncParticipant,
    AsyncTransactionLog,
    Barrier,
    LockStore,
    Participant,
    TransactionLog,
)
from concordant.drivers.urls import mask, scheme_of
from concordant.errors import GuaranteeUnavailable, UsageError

# scheme -> (module, the extra that installs what it needs)
_DRIVERS: Final[dict[str, tuple[str, str]]] = {
    "memory": ("concordant.drivers.memory", ""),
    "sqlite": ("concordant.drivers.sqlite", ""),
    "postgresql": ("concordant.drivers.postgres", "postgres"),
    "redis": ("concordant.drivers.redis", "redis"),
}

# Other ways to reach the same backend, which the driver tells apart by the URL.
_ALIASES: Final = {"rediss": "redis"}

# What each factory name gives, in a user's words.
_PORTS: Final = {
    "lock_store": "locks",
    "transaction_log": "a transaction log",
    "participant": "a participant in two-phase commit",
    "barrier": "a database with barriers for saga steps",
}


def schemes() -> list[str]:
    """Return the URL schemes that this version knows, in order."""
    return sorted(_DRIVERS)


def drivers_with(port: str) -> list[str]:
    """Return the schemes whose driver offers the port (one of the factory names)."""
    return [scheme for scheme in schemes() if hasattr(_module(f"{scheme}://"), port)]


def _module(url: str) -> ModuleType:
    scheme = scheme_of(url)
    try:
        module, extra = _DRIVERS[_ALIASES.get(scheme, scheme)]
    except KeyError:
        known = ", ".join(f"{name}://" for name in schemes())
        raise UsageError(f"no driver for {scheme}://; known are {known}") from None
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not extra or (error.name or "").startswith("concordant"):
            raise
        raise UsageError(
            f"{scheme}:// needs the package {error.name}: pip install 'concordant[{extra}]'"
        ) from None


def _open(url: str, port: str, factory: str) -> Any:
    module = _module(url)
    make = getattr(module, factory, None)
    if make is None:
        having = ", ".join(f"{name}://" for name in drivers_with(port))
        raise GuaranteeUnavailable(
            f"{mask(url)} cannot be {_PORTS[port]}; {having} can"
            if port != "lock_store"
            else f"{mask(url)} has no {_PORTS[port]}; {having} have"
        )
    return make(url)


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
