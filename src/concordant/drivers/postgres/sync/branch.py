# Generated from src/concordant/drivers/postgres/aio/branch.py by tools/unasync.py; do not edit.
"""One branch of a global transaction on PostgreSQL."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg.pq import TransactionStatus

from concordant.drivers.base import Vote
from concordant.drivers.postgres.connections import RESET, BranchConnection
from concordant.drivers.postgres.errors import is_lost, translate
from concordant.drivers.postgres.schema import DURABLE
from concordant.drivers.postgres.sync.pool import Pool
from concordant.errors import OutcomeUnknown, TransactionAborted, UsageError

# The evidence row is written only if the branch has written something. The setting was made
# local to the transaction that `begin` opened: a COMMIT in the user's own SQL has ended it,
# the name is then missing, and the row's NOT NULL refuses the vote.
# Planned once a connection, since it runs in every branch; whatever search_path the work has
# set by then, the table is found.
EVIDENCE: Final = """PREPARE concordant_evidence (text) AS
INSERT INTO {schema}.concordant_branch (branch, state)
SELECT NULLIF(current_setting('concordant.branch', true), ''), 'committed'
WHERE pg_current_xact_id_if_assigned() IS NOT NULL
   OR coalesce(current_setting('concordant.branch', true), '') <> $1"""
_ENDED: Final = (
    "the transaction was ended by the work itself (COMMIT, ROLLBACK); what it committed by hand "
    "stays committed"
)


class PostgresBranch:
    """Work on one connection that is prepared, committed in one phase, or abandoned.

    `branch` consists of letters, digits and ``.-_`` alone (see BranchId), so it may stand in
    a statement as it is; PREPARE TRANSACTION takes no parameters.
    """

    def __init__(
        self,
        pool: Pool[BranchConnection],
        connection: BranchConnection,
        branch: str,
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._branch = branch
        self._over = False
        # Whether the question for the vote was sent and is not answered yet.
        self._asked = False
        self._prepared = False
        # Where word to commit was sent and is not answered yet.
        self._telling: BranchConnection | None = None

    @property
    def connection(self) -> BranchConnection:
        return self._connection

    def ask(self) -> None:
        self._check_here()
        # What is unfit is said by `prepare`.
        if not self._asked and not self._unfit():
            self._asked = True
            self._connection.lent = False
            self._connection.send(self._ending(f"PREPARE TRANSACTION '{self._branch}'"))

    def prepare(self) -> Vote:
        self._check_here()
        reason = "" if self._asked else self._unfit()
        if reason:
            self.abandon()
            return Vote("refused", reason)
        try:
            if not self._asked:
                self.ask()
            self._asked = False
            wrote = self._ended(f"PREPARE TRANSACTION '{self._branch}'")
            if not wrote:
                # Nothing was changed: leave before the decision.
                self._connection.simple(f"COMMIT PREPARED '{self._branch}'")
        except psycopg.Error as error:
            if is_lost(error):
                self._drop()
                raise translate(error, self._pool.options.place, sent=True) from error
            return Vote("refused", self._refused(error))
        except BaseException:
            self._drop()
            raise
        self._give_back()
        self._prepared = wrote
        return Vote("prepared" if wrote else "read-only")

    def tell(self) -> None:
        if not self._prepared or self._pool.forked or self._telling is not None:
            return
        connection = self._pool.spare()
        if connection is not None:
            self._telling = connection
            connection.send(f"COMMIT PREPARED '{self._branch}'")

    def told(self) -> bool:
        connection, self._telling = self._telling, None
        if connection is None or self._pool.forked:
            return False
        try:
            connection.collect()
        except psycopg.Error:
            # Whatever it is: asking by name finds out.
            self._pool.drop(connection)
            return False
        except BaseException:
            self._pool.drop(connection)
            raise
        self._pool.give(connection)
        return True

    def commit_one_phase(self) -> None:
        self._check_here()
        reason = self._unfit()
        if reason:
            self.abandon()
            raise TransactionAborted(f"{self._pool.options.place}: {reason}")
        try:
            self._connection.send(self._ending(DURABLE, "COMMIT"))
            self._ended(DURABLE, "COMMIT")
        except psycopg.Error as error:
            if is_lost(error):
                self._drop()
                raise OutcomeUnknown(
                    f"{self._pool.options.place}: the commit was not answered; ask for the branch"
                ) from error
            why = self._refused(error)
            raise TransactionAborted(f"{self._pool.options.place}: {why}") from error
        except BaseException:
            self._drop()
            raise
        self._give_back()

    def abandon(self) -> None:
        if self._pool.forked:
            return
        telling, self._telling = self._telling, None
        if telling is not None:
            self._pool.drop(telling)
        if self._over:
            return
        if self._asked:
            # The answer is nobody's any more; the server does what it was told all the same.
            self._drop()
            return
        if self._connection.info.transaction_status == TransactionStatus.IDLE:
            # What the work has set for the session before it ended the transaction stays set.
            self._drop()
            return
        try:
            self._connection.simple("ROLLBACK")
        except psycopg.Error:
            # The server rolls back by itself once the connection is gone.
            self._drop()
            return
        except BaseException:
            self._drop()
            raise
        self._give_back()

    def _check_here(self) -> None:
        if self._pool.forked:
            raise UsageError(f"{self._branch} was begun before a fork; its parent ends it")
        if self._over:
            raise UsageError(f"{self._branch} is over already")

    def _unfit(self) -> str:
        status = self._connection.info.transaction_status
        if status == TransactionStatus.INERROR:
            return "an earlier statement of the branch failed"
        if status == TransactionStatus.IDLE:
            return _ENDED
        return ""

    def _ending(self, *endings: str) -> str:
        """Return the message that writes the evidence and ends the transaction."""
        return "; ".join((f"EXECUTE concordant_evidence('{self._branch}')", *endings, RESET))

    def _ended(self, *endings: str) -> bool:
        """Wait for the answer to such a message; tell whether the branch wrote anything.

        Only the tag says how it ended: PREPARE TRANSACTION and COMMIT in a failed transaction
        answer ROLLBACK, and no error.
        """
        results = self._connection.collect(1 + len(endings))
        tag = (results[len(endings)].command_status or b"").decode()
        if not endings[-1].startswith(tag):
            raise psycopg.errors.InFailedSqlTransaction(
                f"{endings[-1].split(' ')[0]} was answered by {tag}"
            )
        return results[0].command_tuples == 1

    def _refused(self, error: psycopg.Error) -> str:
        """Roll back, and say why it had to be."""
        if isinstance(error, psycopg.errors.InvalidSqlStatementName):
            # The next branch would miss it as well.
            self._drop()
        else:
            self.abandon()
        return self._why(error)

    def _why(self, error: psycopg.Error) -> str:
        if isinstance(error, psycopg.errors.NotNullViolation) and "concordant" in str(error):
            return _ENDED
        if isinstance(error, psycopg.errors.UniqueViolation) and "concordant_branch" in str(error):
            return "this branch was committed or refused before"
        if isinstance(error, psycopg.errors.InvalidSqlStatementName):
            return (
                "what was prepared for the session is gone, by DEALLOCATE or by a pooler that "
                "gave the branch another session; name the database itself"
            )
        return str(error).strip().splitlines()[0]

    def _give_back(self) -> None:
        self._over = True
        self._pool.give(self._connection)

    def _drop(self) -> None:
        self._over = True
        self._pool.drop(self._connection)
