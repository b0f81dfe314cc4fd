"""A database with three accounts, inside branches and outside of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from concordant.drivers.base import AsyncBranch, AsyncParticipant
from concordant.errors import ConcordantError
from concordant.transactions.names import BranchId
from tests.contract.banks import balances, set_outside
from tests.contract.parties import new_branch
from tests.provision.backend import Backend
from tests.provision.bridge import async_rows


class Bank:
    """One database under test; `participant` speaks for it, `another` is a second process."""

    def __init__(
        self, backend: Backend, url: str, opened: Callable[[str], AsyncParticipant]
    ) -> None:
        self.backend = backend
        self.url = url
        assert backend.dialect is not None
        # A statement may be refused by the database, or by us before it gets there.
        self.refusals = (backend.dialect.error, ConcordantError)
        self._opened = opened
        self.participant = opened(url)

    def another(self) -> AsyncParticipant:
        """Open the same database once more, as a recoverer would."""
        return self._opened(self.url)

    def balances(self) -> dict[str, int]:
        """Return what everybody can read."""
        return balances(self.backend, self.url)

    def set_outside(self, account: str, balance: int) -> None:
        """Write as somebody else would; raises what the database raises."""
        set_outside(self.backend, self.url, account, balance)

    async def run(self, branch: AsyncBranch, statement: str, *params: Any) -> list[Any]:
        """Run a statement in the branch; ? stands for a parameter."""
        assert self.backend.dialect is not None
        sql = self.backend.dialect.sql(statement)
        return await async_rows(branch.connection, sql, *params)

    async def put(self, branch: AsyncBranch, account: str, balance: int) -> None:
        """Set a balance in the branch."""
        await self.run(branch, "UPDATE account SET balance = ? WHERE id = ?", balance, account)

    async def prepared(
        self, account: str = "ada", balance: int = 70, name: BranchId | None = None
    ) -> str:
        """Set a balance in a new branch, prepare it, and return its name."""
        name = name or new_branch()
        branch = await self.participant.begin(name)
        await self.put(branch, account, balance)
        vote = await branch.prepare()
        assert vote.kind == "prepared", vote
        return str(name)
