"""What PostgreSQL's errors mean to a caller, without a server."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors as pg

from concordant.drivers.postgres.errors import connection_error, is_lost, translate
from concordant.errors import (
    BackendUnavailable,
    ConcordantError,
    GuaranteeUnavailable,
    OutcomeUnknown,
    UsageError,
)

PLACE = "postgresql://h/db"

REFUSED: list[tuple[type[psycopg.Error], type[ConcordantError], str]] = [
    (pg.ReadOnlySqlTransaction, GuaranteeUnavailable, "name the primary"),
    (pg.InsufficientPrivilege, UsageError, "grant it"),
    (pg.InvalidPassword, UsageError, "password"),
    (pg.InvalidAuthorizationSpecification, UsageError, "user was refused"),
    (pg.InvalidCatalogName, UsageError, "no such database"),
    (pg.UndefinedTable, BackendUnavailable, "tables are gone"),
    (pg.UndefinedFunction, BackendUnavailable, "functions are gone"),
    (pg.QueryCanceled, BackendUnavailable, "cancelled"),
    (pg.CannotConnectNow, BackendUnavailable, "shutting down"),
    (pg.TooManyConnections, BackendUnavailable, "out of resources"),
    (pg.OutOfMemory, BackendUnavailable, "out of resources"),
    (pg.DiskFull, BackendUnavailable, "out of resources"),
    (pg.LockNotAvailable, BackendUnavailable, "stayed locked"),
    (pg.DeadlockDetected, BackendUnavailable, "collided"),
    (pg.SerializationFailure, BackendUnavailable, "collided"),
    # The transaction was idle, so what was asked now has not begun.
    (pg.IdleInTransactionSessionTimeout, BackendUnavailable, "refused"),
    (pg.SyntaxError, BackendUnavailable, "refused"),
]

# What psycopg raises by itself carries no SQLSTATE; class 08 is a pooler's.
LOST = [
    psycopg.OperationalError("consuming input failed"),
    psycopg.InterfaceError("the connection is closed"),
    pg.AdminShutdown("terminating connection due to administrator command"),
    pg.CrashShutdown("terminating connection because of crash of another server process"),
    pg.ConnectionFailure("server conn crashed?"),
    pg.ProtocolViolation("server closed the connection"),
]


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize(
    ("kind", "meaning", "words"), REFUSED, ids=[kind.__name__ for kind, _, _ in REFUSED]
)
def test_a_refusal_has_done_nothing(
    kind: type[psycopg.Error], meaning: type[ConcordantError], words: str, sent: bool
) -> None:
    error = kind("what the server said\nDETAIL: more")
    assert not is_lost(error)
    meant = translate(error, PLACE, sent)
    assert type(meant) is meaning
    assert str(meant).startswith(PLACE)
    assert words in str(meant)
    assert "what the server said" in str(meant)
    assert "DETAIL" not in str(meant)


@pytest.mark.parametrize("error", LOST, ids=[type(error).__name__ for error in LOST])
def test_after_a_lost_connection_nobody_knows(error: psycopg.Error) -> None:
    assert is_lost(error)
    assert type(translate(error, PLACE, sent=True)) is OutcomeUnknown
    assert type(translate(error, PLACE, sent=False)) is BackendUnavailable


@pytest.mark.parametrize("error", [psycopg.DataError("NUL"), psycopg.ProgrammingError("no such")])
def test_what_never_left_here_is_not_lost(error: psycopg.Error) -> None:
    assert not is_lost(error)
    assert type(translate(error, PLACE, sent=True)) is BackendUnavailable


def test_an_error_without_words_has_a_name() -> None:
    assert "OperationalError" in str(translate(psycopg.OperationalError(), PLACE, sent=True))


LOGINS = [
    ('FATAL:  password authentication failed for user "ann"', "user or password was refused"),
    ("fe_sendauth: no password supplied", "wants a password"),
    ('FATAL:  database "nowhere" does not exist', "no such database or user"),
    ('FATAL:  role "nobody" does not exist', "no such database or user"),
    ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', "does not let this host or user in"),
]


@pytest.mark.parametrize(("said", "words"), LOGINS)
def test_a_refused_login_is_the_callers_to_mend(said: str, words: str) -> None:
    text = f'connection failed: connection to server at "127.0.0.1", port 5432 failed: {said}'
    meant = connection_error(psycopg.OperationalError(text), PLACE)
    assert type(meant) is UsageError
    assert words in str(meant)


@pytest.mark.parametrize(
    "said",
    [
        "Connection refused\n\tIs the server running on that host?",
        "timeout expired",
        "FATAL:  sorry, too many clients already",
        "FATAL:  the database system is starting up",
        'connection to server on socket "/run/.s.PGSQL.5432" failed: No such file or directory',
    ],
)
def test_a_server_that_is_not_there_may_come_back(said: str) -> None:
    meant = connection_error(psycopg.OperationalError(said), PLACE)
    assert type(meant) is BackendUnavailable
    assert said.splitlines()[0] in str(meant)
