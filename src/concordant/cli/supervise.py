"""A command under a lease, from its start until nothing of it is left."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from concordant.aio.lease import AsyncLease
from concordant.cli.child import Child, Ended, Stopped, signal_name
from concordant.cli.guardian import Guardian
from concordant.cli.terminal import Terminal
from concordant.clock import SYSTEM_CLOCK

_log = logging.getLogger("concordant.lock_run")

# Passed on to the command, which has the grace to end.
ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
# Of interest once there is a command, and to be listened for before it starts.
JOB_CONTROL: Final = (signal.SIGCHLD, signal.SIGCONT, signal.SIGTSTP)
# What the lease's own thread puts among the signals; no signal has this number.
LOST: Final = 0

_LOOK_MAX_S: Final = 1.0
_LINGER_LOOK_S: Final = 0.05
# How long a stop signal to oneself may take to have its effect.
_STOP_S: Final = 0.1
# After KILL only a process inside the kernel is left, and nobody knows for how long.
_KILLED_S: Final = 2.0

News = asyncio.Queue[int]


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do when the lease is lost, and how long a command may take to end."""

    on_lost: Literal["kill", "warn"]
    grace_s: float
    ttl_s: float


@contextmanager
def listening(news: News, numbers: tuple[int, ...]) -> Iterator[None]:
    """Collect signals as news; those that were ignored at the start (nohup) stay ignored."""
    loop = asyncio.get_running_loop()
    chosen = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]
    for number in chosen:
        loop.add_signal_handler(number, news.put_nowait, number)
    try:
        yield
    finally:
        for number in chosen:
            loop.remove_signal_handler(number)


class Supervisor:
    """Watches one command: its end, its stops, signals for it, and the loss of its lease."""

    def __init__(
        self,
        child: Child,
        lease: AsyncLease,
        policy: Policy,
        news: News,
        guardian: Guardian | None,
    ) -> None:
        self._child = child
        self._lease = lease
        self._policy = policy
        self._news = news
        self._terminal = Terminal()
        self._guardian = guardian
        self._told_lost = False
        self._term_ns: int | None = None
        self._kill_ns: int | None = None
        self._given_up_ns: int | None = None

    async def run(self) -> int:
        """Return the command's exit code once its whole process group is gone."""
        loop = asyncio.get_running_loop()

        def tell_lost() -> None:
            loop.call_soon_threadsafe(self._news.put_nowait, LOST)

        self._lease.on_lost(tell_lost)
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            self._continue()
            return await self._watch()
        finally:
            self._terminal.take_back(self._child.group)
            signal.signal(signal.SIGTTOU, before)

    async def _watch(self) -> int:
        while True:
            status = self._child.poll()
            if isinstance(status, Ended):
                if self._nothing_left():
                    return status.code
            elif isinstance(status, Stopped):
                self._follow(status)
            number = await self._next(lingering=isinstance(status, Ended))
            if self._lease.lost and not self._told_lost:
                self._lose()
            elif not self._told_lost and self._guardian is not None:
                self._guardian.extend(self._lease)
            if number is not None:
                self._heed(number)
            self._escalate()

    async def _next(self, lingering: bool) -> int | None:
        look_s = _LINGER_LOOK_S if lingering else min(_LOOK_MAX_S, self._policy.ttl_s / 10)
        if self._kill_ns is not None:
            left_ns = max(0, self._kill_ns - SYSTEM_CLOCK.local_ns())
            look_s = min(look_s, left_ns / 1e9 + 0.001)
        try:
            async with asyncio.timeout(look_s):
                return await self._news.get()
        except TimeoutError:
            return None

    # --- signals and the loss -------------------------------------------------------------

    def _heed(self, number: int) -> None:
        if number == signal.SIGTSTP:
            # Ctrl-Z where the terminal is not the command's: both stop, and go on together.
            self._child.send(signal.SIGTSTP)
            self._stop(with_group=False)
        elif number == signal.SIGCONT:
            self._continue()
        elif number in ENDING:
            _log.info("passing %s on to the command", signal_name(number))
            self._end_by(number)

    def _lose(self) -> None:
        """Note the loss, once; the reason has been logged where it was found."""
        self._told_lost = True
        if self._policy.on_lost == "warn":
            _log.warning("the command runs on without the lock")
            return
        if self._guardian is not None:
            self._guardian.allow(self._policy.grace_s + _KILLED_S)
        self._end_by(signal.SIGTERM)

    def _end_by(self, number: int) -> None:
        self._child.send(number)
        # What is stopped could not act on it.
        self._child.send(signal.SIGCONT)
        if self._kill_ns is None:
            self._kill_ns = SYSTEM_CLOCK.local_ns() + self._grace_ns

    def _escalate(self) -> None:
        now_ns = SYSTEM_CLOCK.local_ns()
        if self._kill_ns is not None and now_ns >= self._kill_ns and self._given_up_ns is None:
            _log.info("the command did not end within %g s; killing it", self._policy.grace_s)
            self._child.send(signal.SIGKILL)
            self._given_up_ns = now_ns + round(_KILLED_S * 1e9)

    def _nothing_left(self) -> bool:
        """Tell whether the group is gone, and see to it that it will be.

        What a command leaves behind may still write: the rest of a pipeline has the grace to
        finish, then it is ended like the command itself.
        """
        if self._child.gone():
            return True
        now_ns = SYSTEM_CLOCK.local_ns()
        if self._term_ns is None:
            self._term_ns = now_ns + self._grace_ns
        elif now_ns >= self._term_ns and self._kill_ns is None:
            _log.warning("the command left processes behind; ending them before the release")
            self._end_by(signal.SIGTERM)
        if self._given_up_ns is None or now_ns < self._given_up_ns:
            return False
        _log.warning("killed processes of the command are still inside the kernel")
        return True

    @property
    def _grace_ns(self) -> int:
        return round(self._policy.grace_s * 1e9)

    # --- stops, as a shell's job control wants them ---------------------------------------

    def _follow(self, stopped: Stopped) -> None:
        """Stop as the command did, so that the shell that waits for us takes over."""
        if not self._terminal.present:
            return  # somebody stopped it by hand, and will continue it so
        if stopped.number in (signal.SIGTTIN, signal.SIGTTOU):
            self._terminal.lend(self._child.group)
            if self._terminal.foreground() == self._child.group:
                self._child.send(signal.SIGCONT)
                return
        self._stop(with_group=True)

    def _stop(self, with_group: bool) -> None:
        """Stop this process (with the rest of its pipeline, as Ctrl-Z does) until continued.

        Where no shell would ever continue us, the system discards the signal, and all goes on.
        """
        self._terminal.take_back(self._child.group)
        loop = asyncio.get_running_loop()
        loop.remove_signal_handler(signal.SIGTSTP)
        if with_group:
            os.killpg(os.getpgrp(), signal.SIGTSTP)
        else:
            os.kill(os.getpid(), signal.SIGTSTP)
        # Another thread may have taken the signal: then this one is stopped a little later.
        time.sleep(_STOP_S)
        loop.add_signal_handler(signal.SIGTSTP, self._news.put_nowait, signal.SIGTSTP)
        self._continue()

    def _continue(self) -> None:
        """Let the command go on, unless the lease ran out while it could not be watched."""
        if self._lease.lost and self._policy.on_lost == "kill":
            return
        self._terminal.lend(self._child.group)
        self._child.send(signal.SIGCONT)
