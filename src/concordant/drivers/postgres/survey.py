"""Look whether a database has been used by a port, and leave it as it is."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final, LiteralString

import psycopg

from concordant.drivers.capabilities import Survey
from concordant.drivers.postgres.errors import ONLY_READS, connection_error, translate
from concordant.drivers.postgres.options import PostgresOptions

_USES: Final = {
    "lock_store": ("concordant_meta", "concordant_lock"),
    "transaction_log": (
        "concordant_meta",
        "concordant_log_owner",
        "concordant_log_decision",
        "concordant_log_record",
    ),
    "participant": ("concordant_meta", "concordant_branch", "concordant_guard"),
    "barrier": ("concordant_barrier",),
}
_LOOK: Final[LiteralString] = """
SELECT array(SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NULL),
    current_setting('max_prepared_transactions')::int, pg_is_in_recovery(), current_schema(),
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
    current_setting('default_transaction_read_only')::bool
"""


def survey(url: str, port: str) -> Survey:
    """Return what the port would make in the database, and what keeps it from that."""
    options = PostgresOptions.parse(url)
    try:
        connection = psycopg.connect(options.conninfo, autocommit=True)
    except psycopg.Error as error:
        # Without a context: libpq's message may name more than a log should hold.
        raise connection_error(error, options.place) from None
    with closing(connection):
        try:
            row: Any = connection.execute(_LOOK, (list(_USES[port]),)).fetchone()
        except psycopg.Error as error:
            raise translate(error, options.place, sent=False) from error
    missing, slots, standby, schema, may_create, only_reads = row
    if standby:
        return Survey(tuple(missing), "it is a standby; name the primary")
    if only_reads:
        return Survey(tuple(missing), ONLY_READS)
    return Survey(tuple(missing), _hindrance(port, bool(missing), slots, schema, may_create))


def _hindrance(port: str, misses: bool, slots: int, schema: str | None, may_create: bool) -> str:
    if port == "participant" and slots == 0:
        return (
            "it cannot prepare transactions: max_prepared_transactions is 0; set it to at least"
            " max_connections in postgresql.conf and restart the server"
        )
    if misses and not may_create:
        return (
            f"the user may not create tables in the schema {schema or '(none)'}: grant it, or let"
            " somebody who may run concordant doctor --make"
        )
    return ""
