"""How long whoever waits has to wait at the most: one row for each bound that is promised.

A row's value is made of the constants in the code, or of what its scene asks for. Either it is
measured here, on every driver that it concerns, or the tests that show it are named. The tests
assert four times the value, since they are no measure of speed; `bench/liveness.py` prints
the value itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from concordant.locking import limits
from concordant.session import keeper, listener
from tests.crash.combos import COMBOS, LOGS
from tests.crash.stage import Combo
from tests.liveness import on_commands, on_locks, on_transactions
from tests.liveness.scene import Scene, World
from tests.provision.backend import Backend
from tests.provision.backends import offering

FACTOR: Final = 4
WORLDS: Final[tuple[World, World]] = ("sync", "aio")


@dataclass(frozen=True, slots=True)
class Case:
    """Where a bound is measured."""

    id: str
    world: World
    backend: Backend | None = None
    combo: Combo | None = None

    @property
    def needs_server(self) -> bool:
        """Whether a server has to be started for it."""
        backends = [self.backend] if self.backend else []
        if self.combo:
            backends += [*self.combo.participants, self.combo.log]
        return any(each.needs_server for each in backends)


@dataclass(frozen=True, slots=True)
class Bound:
    """One bound: what it is about, where it is promised, and how long it is.

    `not_on` says of each driver of the port why the bound does not concern it. `elsewhere` are
    the tests that show it, by file and id, if it is not measured here, or beside that.
    """

    what: str
    promised: str
    value_s: float
    measure: Callable[[Scene], float] | None = None
    cases: tuple[Case, ...] = ()
    not_on: Mapping[str, str] = field(default_factory=dict)
    elsewhere: tuple[str, ...] = ()


def _on_locks(not_on: Mapping[str, str], worlds: tuple[World, ...] = WORLDS) -> tuple[Case, ...]:
    return tuple(
        Case(f"{backend.name}-{world}", world, backend)
        for backend in offering("lock_store")
        for world in worlds
        if backend.name not in not_on
    )


def _on_logs() -> Iterator[Case]:
    # In one world each, in turns over the logs and over the pairs.
    for number, combo in enumerate(COMBOS):
        world = WORLDS[(number + number // len(LOGS)) % 2]
        yield Case(f"{combo}-{world}", world, combo=combo)


def _on_pairs() -> Iterator[Case]:
    # What a guard does depends on the databases alone, and it is one statement in each world.
    for combo in COMBOS:
        if combo.log is COMBOS[0].log:
            yield Case(f"{combo.pair}", "sync", combo=combo)


_ONE_PROCESS: Final = {
    "memory": "nobody else can be killed or stopped: the store ends with its own process",
}
_OWN_PROCESSES: Final = {
    backend.name: "a real process stands at the head of its queue and is stopped, see that row"
    for backend in offering("lock_store")
    if backend.promises.across_processes
}
_NO_COMMANDS: Final = {"memory": "a command is a process of its own, and would find it empty"}
_NO_WAITING: Final = {"memory": "it is a dictionary, and answers at once"}
_WARDENS: Final = {
    backend.name: "the command's warden asks no store: one driver shows it for all"
    for backend in offering("lock_store")
    if backend.name != "sqlite"
}

# Where tests of other folders show a bound.
_WAITERS_THAT_ARE_GONE: Final = "tests/contract/test_waiters_that_are_gone.py"
_POSTGRES_FROZEN: Final = "tests/fault/test_postgres_frozen.py"
_POSTGRES_HINT_CHANNEL: Final = "tests/fault/test_postgres_hint_channel.py"
_POSTGRES_BRANCHES: Final = "tests/fault/test_postgres_branches.py"
_REDIS_SERVER: Final = "tests/fault/test_redis_server.py"
_SURFACE: Final = "tests/surface"
_CHANNEL: Final = "test_a_channel_that_broke_is_opened_again_and_all_ask[*]"

_STEP_S: Final = limits.RETRY_STEP_MS / 1000
_CONFIRM_S: Final = limits.CONFIRM_MS / 1000

BOUNDS: Final[dict[str, Bound]] = {
    "hand-over": Bound(
        "from a release until the waiter holds",
        "limits: RETRY_STEP_MS; with a hint far less",
        _STEP_S,
        on_locks.hand_over,
        _on_locks({}),
    ),
    "hint-lost": Bound(
        "the same, when the hint was lost",
        "limits: RETRY_STEP_MS",
        _STEP_S,
        on_locks.hint_lost,
        _on_locks({}),
    ),
    "holder-killed": Bound(
        "from the death of the holder until the waiter holds",
        "the TTL: the head asks again when the lease ends, at the latest",
        on_locks.TTL_S,
        on_locks.holder_killed,
        _on_locks(_ONE_PROCESS),
        _ONE_PROCESS,
    ),
    "head-killed": Bound(
        "from a release until the second in line holds; the first one was killed",
        "limits: CONFIRM_MS, and one RETRY_STEP_MS; at once where dead waiters are detected",
        _CONFIRM_S + _STEP_S,
        on_locks.head_killed,
        _on_locks(_ONE_PROCESS),
        _ONE_PROCESS,
        (f"{_WAITERS_THAT_ARE_GONE}::test_a_waiter_that_was_killed_is_passed_over[*]",),
    ),
    "head-stopped": Bound(
        "the same; the first one was stopped",
        "limits: CONFIRM_MS, and one RETRY_STEP_MS",
        _CONFIRM_S + _STEP_S,
        on_locks.head_stopped,
        _on_locks(_ONE_PROCESS),
        _ONE_PROCESS,
    ),
    "head-silent": Bound(
        "the same; the first one never asks again",
        "limits: CONFIRM_MS, and one RETRY_STEP_MS",
        _CONFIRM_S + _STEP_S,
        on_locks.head_silent,
        _on_locks(_OWN_PROCESSES),
        _OWN_PROCESSES,
    ),
    "waiter-silent": Bound(
        "until a waiter that has fallen silent leaves the queue",
        "limits: WAITER_MS",
        limits.WAITER_MS / 1000,
        elsewhere=(f"{_WAITERS_THAT_ARE_GONE}::test_a_waiter_that_fell_silent_leaves_the_queue",),
    ),
    "cancelled": Bound(
        "from giving up until the place in the queue is free; the store fails again and again",
        "a cancellation that failed is repeated every 0.2 s",
        on_locks.CANCELS_LOST * keeper._RETRY_NS / 1e9,
        on_locks.cancelled,
        _on_locks({}),
    ),
    "timeout": Bound(
        "until a wait in vain ends with LockTimeout",
        "timeout_s bounds the whole wait",
        on_locks.TIMEOUT_S,
        on_locks.timed_out,
        _on_locks({}),
    ),
    "loss-told": Bound(
        "from the grant until the holder is told of the loss; the store hangs",
        "the TTL: the news never waits for the store",
        on_locks.TTL_S,
        on_locks.loss_told,
        _on_locks({}),
    ),
    "no-answer": Bound(
        "until an error tells that the store stands still",
        "urls: reply_timeout_s, wait_s",
        on_locks.REPLY_S,
        on_locks.no_answer,
        _on_locks(_NO_WAITING),
        _NO_WAITING,
        (
            f"{_POSTGRES_FROZEN}::test_every_call_of_the_log_is_bounded",
            f"{_POSTGRES_FROZEN}::test_every_call_of_a_participant_is_bounded",
            f"{_REDIS_SERVER}::test_waiting_is_bounded_while_the_server_stands_still",
        ),
    ),
    "channel-broken": Bound(
        "until a broken channel for hints is open again",
        "a channel that broke is opened again every 0.2 s",
        listener._REOPEN_S,
        elsewhere=(
            f"{_SURFACE}/sync/test_sync_unknown_outcomes.py::{_CHANNEL}",
            f"{_SURFACE}/aio/test_aio_unknown_outcomes.py::{_CHANNEL}",
            f"{_POSTGRES_HINT_CHANNEL}::test_waiters_go_on_although_their_channels_are_ended",
        ),
    ),
    "transaction-recovered": Bound(
        "from the death of a coordinator until others have ended its transaction",
        "owner_ttl_s and recover_every_s",
        on_transactions.OWNER_TTL_S + on_transactions.RECOVER_EVERY_S,
        on_transactions.transaction_recovered,
        tuple(_on_logs()),
    ),
    "saga-recovered": Bound(
        "from the death of a coordinator until others have ended its saga",
        "owner_ttl_s and recover_every_s",
        on_transactions.OWNER_TTL_S + on_transactions.RECOVER_EVERY_S,
        on_transactions.saga_recovered,
        tuple(_on_logs()),
    ),
    "guard-in-doubt": Bound(
        "until a guard is refused by a predecessor's branch in doubt",
        "urls: lock_timeout_s, wait_s",
        on_transactions.ROW_WAIT_S,
        on_transactions.guard_waited,
        tuple(_on_pairs()),
        elsewhere=(
            f"{_POSTGRES_BRANCHES}::test_the_wait_for_a_predecessor_in_doubt_is_bounded[*]",
        ),
    ),
    "unreachable": Bound(
        "from the start of a command until it ends with 69; the backend never answers",
        "run a migration once: 5 seconds, even where it would wait for ever",
        5.0,
        on_commands.unreachable,
        _on_locks(_NO_COMMANDS, ("sync",)),
        _NO_COMMANDS,
        (f"{_POSTGRES_FROZEN}::test_a_command_is_told_that_the_server_is_not_there",),
    ),
    "command-ended": Bound(
        "from the death of `lock run` until its command, which ignores TERM, is killed",
        "--ttl: the command does not outlive the lease",
        on_commands.TTL_S,
        on_commands.command_ended,
        _on_locks(_WARDENS, ("sync",)),
        _WARDENS,
    ),
}


def cases() -> Iterator[Any]:
    """Yield every bound that is measured with each of its cases, as parameters for pytest."""
    for name, bound in BOUNDS.items():
        for case in bound.cases:
            marks = [pytest.mark.slow] if bound.value_s > 1 else []
            marks += [pytest.mark.server] if case.needs_server else []
            yield pytest.param(name, case, id=f"{name}-{case.id}", marks=marks)
