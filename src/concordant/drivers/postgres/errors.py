"""What PostgreSQL's errors mean to a caller, in one table."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import errors as pg

from concordant.errors import (
    BackendUnavailable,
    ConcordantError,
    GuaranteeUnavailable,
    OutcomeUnknown,
    UsageError,
)

# The first that fits counts. Everything else that comes from the server is a refusal of this
# very request, which then did nothing.
_MEANING: Final[tuple[tuple[type[Exception], type[ConcordantError], str], ...]] = (
    (pg.ReadOnlySqlTransaction, GuaranteeUnavailable, "it is read-only; name the primary"),
    (pg.InsufficientPrivilege, UsageError, "the user may not do that; grant it"),
    (pg.InvalidPassword, UsageError, "the password was refused"),
    (pg.InvalidAuthorizationSpecification, UsageError, "the user was refused"),
    (pg.InvalidCatalogName, UsageError, "there is no such database"),
    (pg.UndefinedTable, BackendUnavailable, "concordant's tables are gone; try again"),
    (pg.OperatorIntervention, BackendUnavailable, "it is shutting down; try again"),
    (pg.InsufficientResources, BackendUnavailable, "it is out of resources; try again"),
    (pg.LockNotAvailable, BackendUnavailable, "rows stayed locked by others; try again"),
    (pg.TransactionRollback, BackendUnavailable, "it collided with others; try again"),
)


def is_lost(error: Exception) -> bool:
    """Tell whether the connection broke, so that nobody knows what the server did."""
    if isinstance(error, pg.AdminShutdown | pg.CrashShutdown):
        return True
    lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return lost and getattr(error, "sqlstate", None) is None


def translate(error: psycopg.Error, place: str, sent: bool) -> ConcordantError:
    """Return our error for one of psycopg's; `sent`: the request had left.

    A connection that broke after that leaves the outcome unknown.
    """
    if is_lost(error):
        if sent:
            return OutcomeUnknown(f"{place}: no reply came ({_brief(error)}); ask again")
        return BackendUnavailable(f"{place} cannot be reached ({_brief(error)}); try again")
    for kind, meaning, advice in _MEANING:
        if isinstance(error, kind):
            return meaning(f"{place}: {advice} ({_brief(error)})")
    return BackendUnavailable(f"{place} refused: {_brief(error)}")


def connection_error(error: psycopg.Error, place: str) -> ConcordantError:
    """Return our error for a connection that could not be made.

    libpq reports a refused login without an SQLSTATE, only in words.
    """
    text = str(error)
    for word, advice in (
        ("password authentication failed", "the user or password was refused"),
        ("no password supplied", "it wants a password"),
        ("does not exist", "there is no such database or user"),
        ("no pg_hba.conf entry", "it does not let this host or user in"),
    ):
        if word in text:
            return UsageError(f"{place}: {advice}")
    return BackendUnavailable(f"{place} cannot be reached ({_brief(error)}); try again")


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
