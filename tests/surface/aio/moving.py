"""Two banks, and a saga that moves money from one to the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from concordant import AsyncCoordinator, AsyncSaga, AsyncStepContext, StepFailed
from concordant._bridge.aio import Executor, direct
from concordant.errors import BackendUnavailable, OutcomeUnknown
from concordant.transactions.operations import Claim
from tests.contract.banks import balances, open_bank
from tests.provision.backend import Backend
from tests.provision.bridge import async_rows
from tests.surface.together import async_eventually

Hook = Callable[[AsyncStepContext], Awaitable[None]]

# What both banks hold before anything has moved: ada's at the first, bob's at the second.
BEFORE = (100, 50)
AMOUNT = 30
MOVED = (70, 80)


class Banks:
    """The two databases, what was called in which order, and what tests want to happen there.

    `calls` has a word for each call of a function (`debit`, `credit`, and with an `un` before
    it what undoes them), `works` for each time that the barrier let it do its work. `before`
    and `inside` are run at the start of a function and of its work.
    """

    def __init__(self, backend: Backend, folder: Path) -> None:
        assert backend.barrier_url is not None
        self.backend = backend
        self.urls = [open_bank(backend, backend.barrier_url(folder)) for _ in range(2)]
        self.calls: list[str] = []
        self.works: list[str] = []
        self.contexts: list[AsyncStepContext] = []
        self.before: dict[str, Hook] = {}
        self.inside: dict[str, Hook] = {}
        self.after: dict[str, Hook] = {}

    def balances(self) -> tuple[int, int]:
        """Return what ada and bob have."""
        found = [balances(self.backend, url) for url in self.urls]
        return found[0]["ada"], found[1]["bob"]

    def saga(self, version: int = 1, *, attempts_max: int = 3, pause_s: float = 0.0) -> AsyncSaga:
        """Return a fresh definition of the transfer, with no pauses unless told."""
        saga = AsyncSaga(
            "transfer",
            version,
            attempts_max=attempts_max,
            pause_first_s=pause_s,
            pause_cap_s=pause_s,
        )
        saga.step("debit", self._step("debit", 0, "ada", -1), self._step("undebit", 0, "ada", 1))
        saga.step("credit", self._step("credit", 1, "bob", 1), self._step("uncredit", 1, "bob", -1))
        return saga

    def _step(self, word: str, bank: int, account: str, sign: int) -> Hook:
        async def step(ctx: AsyncStepContext) -> None:
            self.calls.append(word)
            self.contexts.append(ctx)
            if word in self.before:
                await self.before[word](ctx)
            async with ctx.local(self.urls[bank]) as connection:
                if word in self.inside:
                    await self.inside[word](ctx)
                ctx.result = await self._move(connection, account, sign * ctx.payload["amount"])
                self.works.append(word)
            if word in self.after:
                await self.after[word](ctx)

        return step

    async def _move(self, connection: Any, account: str, amount: int) -> int:
        dialect = self.backend.dialect
        assert dialect is not None
        update = dialect.sql("UPDATE account SET balance = balance + ? WHERE id = ?")
        await async_rows(connection, update, amount, account)
        select = dialect.sql("SELECT balance FROM account WHERE id = ?")
        [(left,)] = await async_rows(connection, select, account)
        if left < 0:
            raise StepFailed(f"{account} lacks {-left}")
        return int(left)


class Trouble:
    """An executor that loses requests or replies of one type of command, so many times.

    `spared` is how many of them go well before.
    """

    def __init__(
        self,
        state: str,
        command: str,
        how: Literal["refused", "lost"],
        times: int = 1,
        spared: int = 0,
    ) -> None:
        self.hits = 0
        self._spared = spared
        self._place = ("saga", state, command)
        self._how = how
        self._times = times

    async def __call__(
        self, machine: str, state: str, command: object, action: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Run the action, unless it is to be struck."""
        if (machine, state, type(command).__name__) != self._place or self.hits == self._times:
            return await action()
        if self._spared:
            self._spared -= 1
            return await action()
        self.hits += 1
        if self._how == "refused":
            raise BackendUnavailable("refused by the test")
        await action()
        raise OutcomeUnknown("lost by the test")


class FirstPass:
    """Sees when the pass of recovery that comes with the start has nothing left to do."""

    def __init__(self, inner: Executor) -> None:
        self.seen = False
        self._inner = inner

    async def __call__(
        self, machine: str, state: str, command: object, action: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Run the action by the inner executor."""
        if not isinstance(command, Claim) or command.own:
            return await self._inner(machine, state, command, action)
        try:
            answer = await self._inner(machine, state, command, action)
        except BaseException:
            self.seen = True
            raise
        self.seen = self.seen or not getattr(answer, "records", ())
        return answer

    async def over(self) -> bool:
        """Tell whether it is over."""
        return self.seen


@asynccontextmanager
async def coordinating(
    log_url: str, *sagas: AsyncSaga, executor: Executor = direct, **options: Any
) -> AsyncIterator[AsyncCoordinator]:
    """Give a coordinator that has these sagas registered.

    It has recovered what was left when the body begins, and from then on does so when told.
    """
    options = {"owner_ttl_s": 30.0, "recover_every_s": 3600.0} | options
    first = FirstPass(executor)
    coordinator = AsyncCoordinator(log_url, executor=first, **options)
    for saga in sagas:
        coordinator.register(saga)
    async with coordinator:
        if sagas:
            await async_eventually(first.over)
        yield coordinator


def failing(times: int = 10**9, error: type[Exception] = RuntimeError) -> Hook:
    """Return what breaks off so many times."""
    left = [times]

    async def fail(ctx: AsyncStepContext) -> None:
        if left[0]:
            left[0] -= 1
            raise error("broken by the test")

    return fail
