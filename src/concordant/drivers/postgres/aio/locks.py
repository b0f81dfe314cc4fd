"""Locks as lease rows in a PostgreSQL database.

Rows, not session locks: they survive a pooler in transaction mode, a broken connection and a
restart, and they carry fences.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from psycopg import sql

from concordant.drivers.capabilities import Capabilities
from concordant.drivers.postgres.aio.pool import AsyncPool
from concordant.drivers.postgres.connections import AsyncBoundConnection
from concordant.drivers.postgres.lockwire import LIMITS, decode, encode
from concordant.drivers.postgres.options import PostgresOptions
from concordant.drivers.postgres.promises import CAPABILITIES
from concordant.drivers.postgres.schema import LOCK, META, lock_functions
from concordant.drivers.postgres.versions import refuse_newer
from concordant.locking.batch import check_size, refusal
from concordant.locking.operations import Operation, Result

_APPLY: Final = "SELECT concordant_lock_apply(%s::jsonb, %s::jsonb)"
_NAMES: Final = """
SELECT name FROM concordant_lock WHERE name > %s AND (
    EXISTS (SELECT FROM jsonb_array_elements(lock->'h') AS h
            WHERE (h->>4)::bigint > extract(epoch FROM clock_timestamp()) * 1e6)
    OR EXISTS (SELECT FROM jsonb_array_elements(lock->'w') AS w
               WHERE (w->>3)::bigint > extract(epoch FROM clock_timestamp()) * 1e6))
ORDER BY name LIMIT %s"""
_FORGET: Final = "SELECT concordant_lock_forget(interval '1 day')"
_FORGET_EVERY_S: Final = 600.0


class AsyncPostgresLockStore:
    """One client's handle on the locks of a database; a batch is one statement."""

    def __init__(self, options: PostgresOptions) -> None:
        self.options = options
        self._pool = AsyncPool(options, AsyncBoundConnection)
        self._ready = False
        self._forget_s = time.monotonic() + _FORGET_EVERY_S

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def apply(self, batch: Sequence[Operation]) -> list[Result]:
        check_size(batch)
        refusals = [refusal(operation) for operation in batch]
        await self._prepare()
        good = [each for each, refused in zip(batch, refusals, strict=True) if refused is None]
        results: list[Result] = []
        if good:
            ((answer,),) = await self._pool.run(_APPLY, (encode(good), LIMITS))
            results = decode(good, answer)
        elif not batch:
            await self._pool.run("SELECT 1")
        answers = iter(results)
        return [refused or next(answers) for refused in refusals]

    async def names(self, after: str = "", limit: int = 256) -> list[str]:
        await self._prepare()
        return [row[0] for row in await self._pool.run(_NAMES, (after, limit))]

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def _prepare(self) -> None:
        if self._ready:
            if time.monotonic() > self._forget_s:
                self._forget_s = time.monotonic() + _FORGET_EVERY_S
                await self._pool.run(_FORGET)
            return
        functions, version = lock_functions()
        ((found,),) = await self._pool.run(
            "SELECT obj_description(to_regclass('concordant_lock'), 'pg_class')"
        )
        refuse_newer(self.options.place, found)
        if found != version:
            comment: Any = sql.SQL("COMMENT ON TABLE concordant_lock IS {}").format(
                sql.Literal(version)
            )
            await self._pool.create((META, LOCK, functions, comment.as_string()))
        self._ready = True
