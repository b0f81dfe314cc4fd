# Generated from src/concordant/drivers/postgres/aio/participant.py by tools/unasync.py; do not edit.
"""PostgreSQL as a resource manager: PREPARE TRANSACTION, and evidence that outlives replies."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from concordant.drivers.base import InDoubt, Resolution
from concordant.drivers.capabilities import Capabilities
from concordant.drivers.postgres.connections import BranchConnection
from concordant.drivers.postgres.errors import is_lost, translate
from concordant.drivers.postgres.options import PostgresOptions
from concordant.drivers.postgres.promises import CAPABILITIES
from concordant.drivers.postgres.schema import BEGIN, BRANCH, GUARD, META
from concordant.drivers.postgres.sync.branch import EVIDENCE, PostgresBranch
from concordant.drivers.postgres.sync.pool import Pool
from concordant.drivers.postgres.versions import marked
from concordant.errors import BackendUnavailable, GuaranteeUnavailable, OutcomeUnknown
from concordant.transactions.names import BranchId, new_log_id

_FIT: Final = (
    "SELECT current_setting('max_prepared_transactions')::int, pg_is_in_recovery(),"
    " to_regclass('concordant_branch') IS NOT NULL AND to_regclass('concordant_guard') IS NOT NULL"
    " AND to_regclass('concordant_meta') IS NOT NULL"
)
_WHO: Final = (
    "SELECT value, (SELECT relnamespace::regnamespace::text FROM pg_class"
    " WHERE oid = to_regclass('concordant_branch'))"
    " FROM concordant_meta WHERE key = 'resource.id'"
)
_OPEN: Final = (
    "SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::float8, owner::text"
    " FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared"
)
_COMMITTED: Final = "SELECT state = 'committed' FROM concordant_branch WHERE branch = %s"
# Evidence is asked for while a decision is not yet obeyed everywhere, never this long after.
_PURGE: Final = """DELETE FROM concordant_branch WHERE branch IN (
    SELECT branch FROM concordant_branch WHERE at < clock_timestamp() - interval '7 days'
    LIMIT 1000)"""


class PostgresParticipant:
    """One database of a PostgreSQL cluster."""

    def __init__(self, options: PostgresOptions) -> None:
        self._options = options
        self._pool = Pool(options.for_branches(), BranchConnection)
        self._resource = ""
        self._schema = ""

    @property
    def place(self) -> str:
        return self._options.place

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def resource(self) -> str:
        if self._resource:
            return self._resource
        ((slots, standby, has_tables),) = self._pool.run(_FIT)
        if slots == 0:
            raise GuaranteeUnavailable(
                f"{self.place} cannot prepare transactions: max_prepared_transactions is 0; set "
                "it to at least max_connections in postgresql.conf and restart the server"
            )
        if standby:
            raise GuaranteeUnavailable(f"{self.place} is a standby; name the primary")
        if self._pool.pooled:
            raise GuaranteeUnavailable(
                f"{self.place} is a pooler, and a branch needs a session of its own; name the "
                "database itself"
            )
        if not has_tables:
            self._pool.create((META, BRANCH, GUARD, marked("concordant_branch")))
        self._pool.refuse_newer("concordant_branch")
        self._pool.run(
            "INSERT INTO concordant_meta VALUES ('resource.id', %s) ON CONFLICT DO NOTHING",
            (new_log_id(),),
        )
        self._pool.run(_PURGE)
        ((self._resource, self._schema),) = self._pool.run(_WHO)
        return self._resource

    def begin(self, branch: BranchId) -> PostgresBranch:
        self.resource()
        connection = self._pool.take()
        try:
            if not connection.evidence_prepared:
                connection.simple(EVIDENCE.format(schema=self._schema))
                connection.evidence_prepared = True
            connection.simple(f"BEGIN; SET LOCAL concordant.branch = '{branch}'")
            connection.reply_timeout_s = self._options.branch_reply_s
        except psycopg.Error as error:
            self._pool.drop(connection)
            raise translate(error, self.place, sent=False) from error
        except BaseException:
            self._pool.drop(connection)
            raise
        return PostgresBranch(self._pool, connection, str(branch))

    def resolve(self, branch: str, commit: bool) -> Resolution:
        self.resource()
        ending = "COMMIT" if commit else "ROLLBACK"
        connection = self._pool.take()
        try:
            connection.simple(f"{ending} PREPARED {_literal(branch)}")
        except psycopg.errors.UndefinedObject:
            return self._look_for(connection, branch)
        except psycopg.errors.ObjectNotInPrerequisiteState as error:
            raise BackendUnavailable(
                f"{self.place}: {branch} is being ended by another session; try again"
            ) from error
        except psycopg.Error as error:
            raise translate(error, self.place, sent=True) from error
        finally:
            self._pool.give(connection)
        return "done"

    def _look_for(self, connection: BranchConnection, branch: str) -> Resolution:
        try:
            cursor = connection.execute(_COMMITTED, (branch,))
            row = cursor.fetchone()
        except psycopg.Error as error:
            raise translate(error, self.place, sent=True) from error
        return "already" if row is not None and row[0] else "missing"

    def committed(self, branch: str) -> bool:
        self.resource()
        connection = self._pool.take()
        connection.reply_timeout_s = self._options.branch_reply_s
        try:
            # The tombstone makes a commit that is still on its way fail on the key. If its
            # transaction is open, this waits for it, bounded.
            connection.execute(BEGIN)
            connection.execute(
                "INSERT INTO concordant_branch (branch, state) VALUES (%s, 'refused')"
                " ON CONFLICT DO NOTHING",
                (branch,),
            )
            cursor = connection.execute(_COMMITTED, (branch,))
            row: Any = cursor.fetchone()
            connection.execute("COMMIT")
        except psycopg.Error as error:
            self._pool.drop(connection)
            if is_lost(error) or isinstance(error, psycopg.errors.LockNotAvailable):
                raise OutcomeUnknown(
                    f"{self.place}: whether {branch} has committed is still open; ask again"
                ) from error
            raise translate(error, self.place, sent=True) from error
        finally:
            self._pool.give(connection)
        return bool(row[0])

    def in_doubt(self) -> list[InDoubt]:
        self.resource()
        rows = self._pool.run(_OPEN)
        return [InDoubt(gid, max(0.0, age_s), f"user {owner}") for gid, age_s, owner in rows]

    def close(self) -> None:
        self._pool.close()


def _literal(branch: str) -> str:
    """Return the name as SQL: ours are safe as they are, a foreigner's may hold anything."""
    if BranchId.parse(branch) is not None:
        return f"'{branch}'"
    return psycopg.sql.Literal(branch).as_string()
