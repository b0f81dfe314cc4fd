"""The points of a saga, and the ways in which things go wrong at each of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal

from concordant import Coordinator, Saga
from concordant._bridge.sync import direct
from concordant.drivers import registry
from concordant.drivers.base import TransactionLog
from concordant.transactions.names import new_gid
from concordant.transactions.operations import (
    Alive,
    CloseOwner,
    Listing,
    OwnerAlive,
    OwnerGone,
    OwnerStates,
    Query,
)
from tests.crash.books import AMOUNT
from tests.crash.harness import PATIENCE_S, Child, wait_until
from tests.crash.job import Action, Fault, Job, Shape, World
from tests.crash.stage import ALIVE_S, DEAD_SOON_S, Stage
from tests.crash.sync.saga_actor import saga_of

Outcome = Literal["committed", "aborted", "never stored"]


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the run of a saga, and what follows from it.

    `outcome` is what the saga comes to when its coordinator is gone from there on, `alive`
    when it goes on as if nothing had been (default: the same, or committed if it was never
    stored). With one attempt, whoever takes over an action goes back.
    """

    name: str
    machine: Literal["saga", "step"]
    state: str
    command: str
    when: Literal["before", "after"]
    outcome: Outcome
    nth: int = 1
    shape: Shape = "transfer"
    attempts_max: int = 8
    alive: Outcome | None = None

    @property
    def row(self) -> str:
        """The row of the table of crash points that it stands in."""
        return self.name.partition("-")[0]

    def fault(self, action: Action) -> Fault:
        """Return what makes this go wrong here."""
        return Fault(self.machine, self.state, self.command, action, self.when, self.nth)


POINTS: Final = (
    Point("D1-asked", "saga", "new", "Create", "before", "never stored"),
    Point("D1-stored", "saga", "new", "Create", "after", "committed"),
    # The action never came, is at work, or has happened; nobody has heard of it.
    Point("D2-sent", "saga", "running", "Act", "before", "committed"),
    Point("D2-working", "step", "action", "Work", "after", "committed", nth=2),
    Point("D2-done", "saga", "running", "Act", "after", "committed"),
    Point("D2-last", "saga", "running", "Act", "after", "committed", nth=2),
    Point("D3-first", "saga", "running", "Save", "before", "committed"),
    Point("D3-last", "saga", "committed", "Save", "before", "committed"),
    Point("D3-saved", "saga", "committed", "Save", "after", "committed"),
    Point("D4-refused", "saga", "aborting", "Save", "before", "aborted", shape="refused"),
    Point("D5-saved", "saga", "aborting", "Save", "after", "aborted", shape="refused"),
    Point("D5-undoing", "saga", "aborting", "Compensate", "before", "aborted", shape="refused"),
    Point("D5-working", "step", "compensation", "Work", "after", "aborted", shape="refused"),
    # With its only attempt gone, what never came to its barrier is compensated all the same.
    Point(
        "D6-sent", "saga", "running", "Act", "before", "aborted", attempts_max=1, alive="committed"
    ),
    Point(
        "D6-entering",
        "step",
        "action",
        "Enter",
        "before",
        "aborted",
        nth=2,
        attempts_max=1,
        alive="committed",
    ),
    Point("D8-undone", "saga", "aborting", "Compensate", "after", "aborted", shape="refused"),
    Point("D8-last", "saga", "aborting", "Compensate", "after", "aborted", 2, "refused"),
    Point("D8-saving", "saga", "aborted", "Save", "before", "aborted", shape="refused"),
    Point("D8-saved", "saga", "aborted", "Save", "after", "aborted", shape="refused"),
    # In the middle of the way back; whoever goes on with it would not be refused any more.
    Point("D15-midway", "saga", "aborting", "Save", "before", "aborted", 2, "refused"),
)

# What a recoverer does, as commands, on the way forward and on the way back.
RECOVERY: Final[dict[Outcome, tuple[Fault, ...]]] = {
    "never stored": (),
    "committed": (
        Fault("saga", "left", "Claim", "crash", "before"),
        Fault("saga", "left", "Claim", "crash", "after"),
        Fault("saga", "running", "Save", "crash", "before"),
        Fault("saga", "running", "Save", "crash", "after"),
        Fault("saga", "running", "Act", "crash", "before"),
        Fault("saga", "running", "Act", "crash", "after"),
        Fault("saga", "committed", "Save", "crash", "before"),
        Fault("saga", "committed", "Save", "crash", "after"),
    ),
    "aborted": (
        Fault("saga", "left", "Claim", "crash", "after"),
        Fault("saga", "aborting", "Save", "crash", "before"),
        Fault("saga", "aborting", "Save", "crash", "after"),
        Fault("saga", "aborting", "Compensate", "crash", "before"),
        Fault("saga", "aborting", "Compensate", "crash", "after"),
        Fault("saga", "aborted", "Save", "crash", "before"),
        Fault("saga", "aborted", "Save", "crash", "after"),
    ),
}

_OVER: Final = ("D3-saved", "D8-saved")


def recovery_faults(point: Point) -> tuple[Fault, ...]:
    """Return the places that a recoverer comes by after a crash at the point."""
    if point.name in _OVER or point.attempts_max == 1:
        # One attempt is not enough for two crashes: the second leaves it stuck, as it should.
        return ()
    return RECOVERY[point.outcome]


# --- what goes wrong ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """One scenario: a point, in one world, on one stage.

    `recovery` is where the recoverer comes to grief, in the scenarios that have one.
    """

    stage: Stage
    point: Point
    world: World
    recovery: Fault | None = None

    def start(
        self,
        action: Action,
        owner_ttl_s: float,
        recovers: bool = False,
        timeout_s: float | None = None,
    ) -> Child:
        """Start a child that moves the money and comes to grief at the point."""
        point = self.point
        job = self.stage.job(
            "saga",
            self.world,
            point.fault(action),
            shape=point.shape,
            gid=new_gid(),
            owner_ttl_s=owner_ttl_s,
            recovers=recovers,
            timeout_s=timeout_s,
            attempts_max=point.attempts_max,
        )
        return self.stage.start(job)

    def recoverer(self, action: Action, owner_ttl_s: float) -> Child:
        """Start a child that recovers and comes to grief itself."""
        faults = (replace(self.recovery, action=action),) if self.recovery else ()
        job = self.stage.job("recover sagas", self.world, *faults, owner_ttl_s=owner_ttl_s)
        return self.stage.start(replace(job, attempts_max=self.point.attempts_max))

    @contextmanager
    def coordinator(self) -> Iterator[tuple[Coordinator, Saga]]:
        """Give a fresh coordinator that has the saga registered; its actions never refuse."""
        job = self.stage.job("recover sagas", "sync", attempts_max=self.point.attempts_max)
        saga = saga_of(job, direct)
        with Coordinator(self.stage.log, owner_ttl_s=ALIVE_S, recover_every_s=3600) as opened:
            opened.register(saga)
            yield opened, saga

    def settle(self) -> None:
        """Recover with a fresh coordinator until nothing is left to do."""
        with self.coordinator() as (coordinator, _):
            end = time.monotonic() + PATIENCE_S
            while left := coordinator.sagas():
                assert time.monotonic() < end, left
                coordinator.recover()
                time.sleep(0.005)

    # --- owners ---------------------------------------------------------------------------

    def wait_dead(self) -> None:
        """Wait until whoever has something unfinished is known to be dead."""
        with closing(registry.transaction_log(self.stage.log)) as log:
            states = OwnerStates(_owners(log))
            wait_until(lambda: log.apply([states]) == [Alive()], f"{states} are dead")

    def declare_dead(self) -> None:
        """End the leases of those who have something unfinished, as if their time were over."""
        with closing(registry.transaction_log(self.stage.log)) as log:
            for owner, epoch in _owners(log):
                (answer,) = log.apply([CloseOwner(owner, epoch)])
                assert isinstance(answer, OwnerAlive | OwnerGone)

    # --- what must hold -------------------------------------------------------------------

    def check(self, child: Child, ended: str | None, outcome: Outcome) -> None:
        """Settle what is left, and hold the databases to the outcome and to what was told."""
        self.settle()
        self.check_settled(child.job, ended, outcome)

    def check_settled(self, job: Job, ended: str | None, outcome: Outcome) -> None:
        """Hold the databases to the outcome, and a repeat of the call, too."""
        stage, gid = self.stage, job.gid
        assert stage.applied(gid, "transfer") == (outcome == "committed")
        assert ended in (None, "OutcomeUnknown", outcome), ended
        with self.coordinator() as (coordinator, saga):
            assert coordinator.sagas() == []
            assert coordinator.recover() == 0
            again = coordinator.run(saga, {"amount": AMOUNT}, gid=gid)
        never = outcome == "never stored"
        assert (again.state, again.fresh) == ("committed" if never else outcome, never)
        assert stage.applied(gid, "transfer") == (again.state == "committed")


def _owners(log: TransactionLog) -> tuple[tuple[str, int], ...]:
    (listing,) = log.apply([Query()])
    assert isinstance(listing, Listing)
    return tuple({(each.owner, each.epoch) for each in listing.records})


def crash(run: Run) -> None:
    """Kill the coordinator at the point."""
    child = run.start("crash", DEAD_SOON_S)
    child.crashed()
    run.check(child, None, run.point.outcome)


def crash_again(run: Run) -> None:
    """Kill the coordinator, then the recoverer, too."""
    child = run.start("crash", DEAD_SOON_S)
    child.crashed()
    run.wait_dead()
    run.recoverer("crash", DEAD_SOON_S).crashed()
    run.check(child, None, run.point.outcome)


def lose(run: Run) -> None:
    """Lose the request, or its reply; the coordinator itself finds what it has lost."""
    child = run.start("lose", ALIVE_S, recovers=True)
    ended = child.ended()["ended"]
    outcome = run.point.outcome
    run.check_settled(child.job, ended, outcome)


def late(run: Run) -> None:
    """Lose the request, which is carried out all the same after everything was settled."""
    child = run.start("late", ALIVE_S, recovers=True)
    child.wait_idle()
    child.release()
    ended = child.ended()["ended"]
    # A saga that was stored late is found by whoever comes next.
    outcome = "committed" if run.point.outcome == "never stored" else run.point.outcome
    run.check(child, ended, outcome)


def pause(run: Run) -> None:
    """Stop the coordinator past its lease, let others recover, and let it go on.

    The lease is long, and ended by hand: a process that is stopped in the midst of renewing
    it would keep the file of a SQLite log for itself.
    """
    child = run.start("pause", ALIVE_S)
    child.paused()
    run.declare_dead()
    run.settle()
    child.resume()
    ended = child.ended()["ended"]
    outcome = "committed" if run.point.outcome == "never stored" else run.point.outcome
    # Before it was stored, it belonged to nobody, and after its end it is over for all.
    free = run.point.name in ("D1-asked", *_OVER)
    assert ended == (outcome if free else "OutcomeUnknown")
    run.check(child, ended, outcome)


def watch(run: Run) -> None:
    """Hold the living coordinator at the point: a recoverer must leave its work alone."""
    child = run.start("hold", ALIVE_S)
    child.wait_reached()
    with run.coordinator() as (coordinator, _):
        assert coordinator.recover() == 0
        assert all(status.alive for status in coordinator.sagas())
    child.release()
    ended = child.ended()
    outcome = run.point.alive or run.point.outcome
    outcome = "committed" if outcome == "never stored" else outcome
    assert (ended["ended"], ended["fresh"]) == (outcome, True)
    run.check_settled(child.job, ended["ended"], outcome)


def rival(run: Run) -> None:
    """Kill the coordinator; one recoverer is held up midway while another does everything."""
    child = run.start("crash", DEAD_SOON_S)
    child.crashed()
    run.wait_dead()
    held = run.recoverer("hold", ALIVE_S)
    held.wait_reached()
    run.declare_dead()
    run.settle()
    held.release()
    held.ended()
    run.check(child, None, run.point.outcome)


VARIANTS: Final[dict[str, Callable[[Run], None]]] = {
    "crash": crash,
    "again": crash_again,
    "lose": lose,
    "late": late,
    "pause": pause,
    "watch": watch,
    "rival": rival,
}


def recoveries(point: Point, variant: str) -> tuple[Fault | None, ...]:
    """Return what the scenario is run with: where its recoverer comes to grief, or None.

    Empty where the scenario cannot be: only a request can be late, only work that somebody
    has can be taken from him, and only a recoverer that finds something to do can crash.
    """
    if variant in ("again", "rival"):
        return recovery_faults(point)
    if variant == "late" and (point.when != "before" or point.machine == "step"):
        return ()
    if variant == "pause" and point.command == "Work":
        # Stopped inside its transaction, it keeps others waiting, who never come to pass it.
        return ()
    return (None,)
