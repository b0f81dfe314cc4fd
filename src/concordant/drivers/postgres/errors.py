"""What PostgreSQL's errors mean to a caller, in one table."""

from __future__ import annotations

from typing import Final

import psycopg

from concordant.errors import (
    BackendUnavailable,
    ConcordantError,
    GuaranteeUnavailable,
    OutcomeUnknown,
    UsageError,
)

ONLY_READS: Final = (
    "it is read-only: name the primary, or set default_transaction_read_only off for the user"
)

# What an SQLSTATE means, or all that begin like this; the first that fits counts. Everything
# else that comes from the server is a refusal of this very request, which then did nothing.
_MEANING: Final[tuple[tuple[str, type[ConcordantError], str], ...]] = (
    ("25006", GuaranteeUnavailable, ONLY_READS),
    ("42501", UsageError, "the user may not do that; grant it"),
    ("28P01", UsageError, "the password was refused"),
    ("28", UsageError, "the user was refused"),
    ("3D000", UsageError, "there is no such database"),
    ("42P01", BackendUnavailable, "concordant's tables are gone; open it anew"),
    ("42883", BackendUnavailable, "concordant's functions are gone; open it anew"),
    ("57014", BackendUnavailable, "it was cancelled, by a time limit or a person; try again"),
    ("57", BackendUnavailable, "it is shutting down; try again"),
    ("53", BackendUnavailable, "it is out of resources; try again"),
    ("55P03", BackendUnavailable, "rows stayed locked by others; try again"),
    ("40", BackendUnavailable, "it collided with others; try again"),
)
# Class 08 is how a pooler tells that it has lost the server.
_LOST: Final = ("57P01", "57P02", "08")


def is_lost(error: Exception) -> bool:
    """Tell whether the connection broke, so that nobody knows what the server did."""
    state = getattr(error, "sqlstate", None)
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return str(state).startswith(_LOST)


def translate(error: psycopg.Error, place: str, sent: bool) -> ConcordantError:
    """Return our error for one of psycopg's; `sent`: the request had left.

    A connection that broke after that leaves the outcome unknown.
    """
    if is_lost(error):
        if sent:
            return OutcomeUnknown(f"{place}: no reply came ({_brief(error)}); ask again")
        return BackendUnavailable(f"{place} cannot be reached ({_brief(error)}); try again")
    for state, meaning, advice in _MEANING:
        if (error.sqlstate or "").startswith(state):
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
        ("unsupported startup parameter", "it is a pooler; name the database itself"),
        ("no pg_hba.conf entry", "it does not let this host or user in"),
    ):
        if word in text:
            return UsageError(f"{place}: {advice}")
    return BackendUnavailable(f"{place} cannot be reached ({_brief(error)}); try again")


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
