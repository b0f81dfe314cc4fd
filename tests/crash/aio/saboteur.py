"""The executor of a child process: it runs commands, and makes some of them go wrong."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.crash.job import Fault, reached_file, release_file
from tests.crash.together import async_later
from tests.provision.bridge import async_sleep

Value = TypeVar("Value")


class AsyncSaboteur:
    """Runs commands; at the places named by the faults it does what they say."""

    def __init__(self, faults: tuple[Fault, ...], folder: str) -> None:
        self._faults = faults
        self._folder = folder
        self._met: Counter[int] = Counter()
        self._late: list[Callable[[], Awaitable[None]]] = []

    async def __call__(
        self, machine: str, state: str, command: object, action: Callable[[], Awaitable[Value]]
    ) -> Value:
        """Run the action, unless this is where something is to go wrong."""
        number = self._due(machine, state, type(command).__name__)
        if number is None:
            return await action()
        fault = self._faults[number]
        if fault.when == "before":
            if fault.action == "late":
                self._reach(number)
                self._late.append(async_later(lambda: self._run_late(number, action)))
                raise ConnectionResetError("the connection broke; the request is on its way")
            await self._strike(number)
            return await action()
        value = await action()
        await self._strike(number)
        return value

    def _due(self, machine: str, state: str, command: str) -> int | None:
        for number, fault in enumerate(self._faults):
            if (fault.machine, fault.state, fault.command) == (machine, state, command):
                self._met[number] += 1
                past = self._met[number] - fault.nth
                if past >= 0 and (past < fault.times or not fault.times):
                    return number
        return None

    def _reach(self, number: int) -> None:
        with open(reached_file(self._folder, number), "ab") as file:
            file.write(b".")

    async def _strike(self, number: int) -> None:
        fault = self._faults[number]
        self._reach(number)
        match fault.action:
            case "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            case "pause":
                # By this very thread, which else might run on for a moment.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            case "hold" | "late":
                await self._wait(number)
            case "lose":
                raise ConnectionResetError("the connection broke")

    async def _wait(self, number: int) -> None:
        while not release_file(self._folder, number).exists():
            await async_sleep(0.005)

    async def _run_late(self, number: int, action: Callable[[], Awaitable[object]]) -> None:
        await self._wait(number)
        try:
            await action()
        except Exception as error:
            # Nobody waits for it any more; it is told for whoever reads the child's log.
            print(f"late: {error!r}", flush=True)

    async def finish(self) -> None:
        """Wait for the requests that are still on their way."""
        for landed in self._late:
            await landed()
