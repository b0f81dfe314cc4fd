"""A transaction log in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, LiteralString

import psycopg

from concordant.drivers.capabilities import Capabilities
from concordant.drivers.postgres.aio.pool import AsyncPool
from concordant.drivers.postgres.connections import AsyncBoundConnection
from concordant.drivers.postgres.errors import translate
from concordant.drivers.postgres.options import PostgresOptions
from concordant.drivers.postgres.promises import CAPABILITIES
from concordant.drivers.postgres.schema import BEGIN, DECIDED, DECIDING, DURABLE, LOG, META
from concordant.drivers.postgres.snapshot import Snapshot, refs_text, segments
from concordant.drivers.postgres.versions import marked
from concordant.errors import BackendUnavailable, OutcomeUnknown
from concordant.transactions.logcheck import check_size, malformed
from concordant.transactions.logmodel import decided_fresh, only_decides, perform
from concordant.transactions.logrows import LogMoment
from concordant.transactions.names import new_log_id
from concordant.transactions.operations import (
    Create,
    Decide,
    Finish,
    Finished,
    Load,
    LogOperation,
    LogResult,
    Purge,
    Purged,
)

_CLOCK: Final = "(extract(epoch FROM clock_timestamp()) * 1e6)::bigint"
_MOMENT: Final = f"SELECT {_CLOCK}, (SELECT value FROM concordant_meta WHERE key = 'log.id')"
_BEGIN: Final[tuple[LiteralString, ...]] = (
    BEGIN,
    # A process that is stopped between the two round trips must not keep rows from the others.
    "SET LOCAL idle_in_transaction_session_timeout = 3000",
    DURABLE,
)
_TRIES: Final = 8

# Decisions and their ends, all in one statement and so in one round trip and one sync. The
# clock is read in one's turn: an owner whose lease runs by it was seen dead by nobody before.
_HOT: Final[LiteralString] = f"""
WITH clock AS (
    SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint AS us,
        CASE WHEN current_setting('synchronous_commit') = 'off'
            THEN set_config('synchronous_commit', 'local', true) END
    FROM ({DECIDING} OFFSET 0) AS turn
),
asked AS (
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[])
    AS t (gid, outcome, owner, epoch, branches)
), decided AS (
    INSERT INTO concordant_log_decision
    SELECT gid, outcome, owner, epoch, branches, 'deciding', '', us, us
    FROM asked, clock
    WHERE outcome = 'abort' OR EXISTS (
        SELECT FROM concordant_log_owner AS o
        WHERE o.owner = asked.owner AND o.epoch = asked.epoch AND o.expires_us > us
    )
    ORDER BY gid
    ON CONFLICT (gid) DO NOTHING RETURNING gid
), finished AS (
    UPDATE concordant_log_decision SET state = 'finished', changed_at_us = us
    FROM clock WHERE gid = ANY(%s) AND state = 'deciding'
)
SELECT gid FROM decided"""


class AsyncPostgresLog:
    """One process's handle on the log; a batch is one transaction for each of its segments."""

    def __init__(self, options: PostgresOptions) -> None:
        self._options = options
        self._pool = AsyncPool(options, AsyncBoundConnection)
        self._ready = False

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def apply(self, batch: Sequence[LogOperation]) -> list[LogResult]:
        check_size(batch)
        await self._prepare()
        if not batch:
            await self._pool.run("SELECT 1")
            return []
        if only_decides(batch):
            return await self._decide(batch)
        results: list[LogResult] = []
        for part in segments(batch):
            try:
                results += await self._perform(part)
            except BackendUnavailable as error:
                if results:
                    raise _in_part(error) from error
                raise
        return results

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def _prepare(self) -> None:
        if self._ready:
            return
        ((there,),) = await self._pool.run(
            "SELECT to_regclass('concordant_log_record') IS NOT NULL"
            " AND to_regclass('concordant_meta') IS NOT NULL"
        )
        if not there:
            await self._pool.create((META, *LOG, marked("concordant_log_owner")))
        await self._pool.refuse_newer("concordant_log_owner")
        await self._pool.run(
            "INSERT INTO concordant_meta VALUES ('log.id', %s) ON CONFLICT DO NOTHING",
            (new_log_id(),),
        )
        self._ready = True

    # --- the usual: decisions and their ends ----------------------------------------------

    async def _decide(self, batch: Sequence[LogOperation]) -> list[LogResult]:
        decides = [each for each in batch if isinstance(each, Decide)]
        columns = [
            [each.gid for each in decides],
            [each.outcome for each in decides],
            [each.owner for each in decides],
            [each.epoch for each in decides],
            [refs_text(each.branches) for each in decides],
        ]
        finished = sorted(each.gid for each in batch if isinstance(each, Finish))
        fresh = {row[0] for row in await self._pool.run(_HOT, (*columns, finished))}
        told: dict[str, LogResult] = {
            each.gid: decided_fresh(each) for each in decides if each.gid in fresh
        }
        told |= await self._again([each for each in decides if each.gid not in fresh])
        return [told[each.gid] if isinstance(each, Decide) else Finished() for each in batch]

    async def _again(self, late: Sequence[Decide]) -> dict[str, LogResult]:
        """Answer decisions that were not inserted, when all else of their batch is done.

        Each of them has found another one that stands, or that its owner's lease is over:
        the model tells which, with the rows locked.
        """
        if not late:
            return {}
        try:
            answers = await self._perform(late)
        except BackendUnavailable as error:
            raise _in_part(error) from error
        return {each.gid: answer for each, answer in zip(late, answers, strict=True)}

    # --- the rest: read and lock, let the model work, write ----------------------------------

    async def _perform(self, part: Sequence[LogOperation]) -> list[LogResult]:
        for _ in range(_TRIES):
            results = await self._try(part)
            if results is not None:
                return results
        raise BackendUnavailable(f"{self._options.place}: too many wrote the same rows; try again")

    async def _try(self, part: Sequence[LogOperation]) -> list[LogResult] | None:
        """Do a part in one transaction; None if somebody was faster with a new row."""
        connection = await self._pool.take()
        try:
            sound = [each for each in part if not malformed(each)] or [Load("-")]
            snapshot = Snapshot(sound)
            if isinstance(sound[0], Purge):
                snapshot.purge_until_us = await self._decided(connection)
            decides = any(isinstance(each, Decide | Create) for each in sound)
            async with connection.pipeline():
                for statement in (*_BEGIN, DECIDING) if decides else _BEGIN:
                    await connection.execute(statement)
                cursors = [await connection.execute(*each) for each in snapshot.reads()]
            # Only now, since waiting for the rows may have taken a while. And not in the
            # pipeline: after one, PostgreSQL 15 does not end a session that idles in it.
            clock = await connection.execute(_MOMENT)
            for cursor in cursors:
                snapshot.fill(await cursor.fetchall())
            row: Any = await clock.fetchone()
            now_us, snapshot.log_id = row
            moment = LogMoment(now_us, now_us)
            results = [perform(snapshot, each, moment) for each in part]
            return await self._write(connection, snapshot, results)
        except psycopg.Error as error:
            await self._pool.drop(connection)
            raise translate(error, self._options.place, sent=True) from error
        except BaseException:
            await self._pool.drop(connection)
            raise

    async def _decided(self, connection: AsyncBoundConnection) -> int:
        """Return a time; when this returns, all that were deciding then have decided."""
        cursor = await connection.execute(f"SELECT {_CLOCK}")
        row: Any = await cursor.fetchone()
        await connection.simple(DECIDED)
        return int(row[0])

    async def _write(
        self, connection: AsyncBoundConnection, snapshot: Snapshot, results: list[LogResult]
    ) -> list[LogResult] | None:
        writes = snapshot.writes()
        async with connection.pipeline():
            cursors = [await connection.execute(*statement) for statement, _ in writes]
        counts = [cursor.rowcount for cursor in cursors]
        stale = any(one and count != 1 for (_, one), count in zip(writes, counts, strict=True))
        await connection.execute("ROLLBACK" if stale else "COMMIT")
        await self._pool.give(connection)
        if stale:
            return None
        return [Purged(sum(counts[:2]))] if snapshot.purges else results


def _in_part(error: BackendUnavailable) -> OutcomeUnknown:
    """Return the error for a batch of which the first part was done and the rest was not."""
    return OutcomeUnknown(f"the batch was done in part, then: {error}; ask again")
