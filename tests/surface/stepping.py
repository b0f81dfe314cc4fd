"""Cancel a task at a chosen one of its suspensions, in a chosen way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Literal

When = Literal["at once", "a turn later", "three turns later", "when answered"]
"""When the cancellation comes, counted from the chosen suspension.

"when answered": what the task waits for is there, but the task has not run since; the answer is
lost with it.
"""

WHENS: tuple[When, ...] = ("at once", "a turn later", "three turns later", "when answered")


class _Struck:
    """Awaits a coroutine, and cancels the task that does at its n-th suspension."""

    def __init__(self, inner: Coroutine[Any, Any, Any], at: int, when: When) -> None:
        self._inner = inner
        self._at = at
        self._when = when
        self._suspensions = 0
        self.delivered = False

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task is not None
        steps = self._inner.__await__()
        throw: BaseException | None = None
        while True:
            try:
                future = steps.throw(throw) if throw is not None else steps.send(None)
            except StopIteration as end:
                return end.value
            self._suspensions += 1
            if self._suspensions == self._at:
                self._strike(task, future)
            throw = None
            try:
                yield future
            except BaseException as error:
                throw = error

    def _strike(self, task: asyncio.Task[Any], future: asyncio.Future[Any] | None) -> None:
        def cancel() -> None:
            self.delivered = task.cancel()

        if self._when == "at once":
            cancel()
        elif self._when == "when answered" and future is not None:
            # Before the callback by which the task itself would be woken.
            future.add_done_callback(lambda _: cancel())
        else:
            _turns_later(3 if self._when == "three turns later" else 1, cancel)


def _turns_later(turns: int, call: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    loop.call_soon(call if turns == 1 else lambda: _turns_later(turns - 1, call))


async def cancelled_at(
    at: int, when: When, scenario: Callable[[], Coroutine[Any, Any, Any]]
) -> tuple[asyncio.Task[Any], bool]:
    """Run the scenario in a task of its own, cancelled at that suspension.

    Returns the task, which has ended, and whether it lived long enough to be cancelled there.
    """
    struck = _Struck(scenario(), at, when)

    async def run() -> Any:
        return await struck

    task = asyncio.ensure_future(run())
    done, _ = await asyncio.wait({task}, timeout=20)
    assert done, f"it hung when it was cancelled {when} at suspension {at}"
    return task, struck.delivered
