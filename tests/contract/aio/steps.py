"""Saga steps on a database with three accounts, each behind its barrier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from concordant.drivers.stepport import AsyncBarrier, AsyncStepWork
from concordant.transactions.barrier import Op, Ruling
from tests.contract.banks import balances
from tests.provision.backend import Backend
from tests.provision.bridge import async_rows


class Steps:
    """One database under test; `another` opens it as a second process would."""

    def __init__(self, backend: Backend, url: str, another: Callable[[], AsyncBarrier]) -> None:
        self.backend = backend
        self.url = url
        self.another = another
        self.barrier = another()

    def balances(self) -> dict[str, int]:
        """Return what everybody can read."""
        return balances(self.backend, self.url)

    def outside(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        """Run a statement as somebody else would; ? stands for a parameter."""
        assert self.backend.dialect is not None
        return self.backend.dialect.outside(self.url, self.backend.dialect.sql(statement), *params)

    def rows(self, gid: str) -> set[tuple[Any, ...]]:
        """Return the gid's barrier rows."""
        found = self.outside(
            "SELECT step, op, verdict, result FROM concordant_barrier WHERE gid = ?", gid
        )
        return {tuple(row) for row in found}

    async def run(self, work: AsyncStepWork, statement: str, *params: Any) -> list[Any]:
        """Run a statement in the work; ? stands for a parameter."""
        assert self.backend.dialect is not None
        sql = self.backend.dialect.sql(statement)
        return await async_rows(work.connection, sql, *params)

    async def add(self, work: AsyncStepWork, amount: int, account: str = "ada") -> None:
        """Change a balance in the work."""
        await self.run(
            work, "UPDATE account SET balance = balance + ? WHERE id = ?", amount, account
        )

    async def do(
        self, gid: str, op: Op, barrier: AsyncBarrier | None = None, step: str = "debit"
    ) -> tuple[Ruling, str]:
        """Take 30 from ada, or give it back, if the barrier lets; return what it said."""
        work = await (barrier or self.barrier).enter(gid, step, op)
        if work.ruling == "run":
            await self.add(work, -30 if op == "action" else 30)
            await work.commit(f'"{op}"')
        return work.ruling, work.stored
