"""The points of a two-phase commit, and the ways in which things go wrong at each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from concordant.transactions.names import new_gid
from tests.crash.harness import Child
from tests.crash.job import Action, Fault, Shape, World
from tests.crash.stage import ALIVE_S, DEAD_SOON_S, Stage

Outcome = Literal["commit", "abort"]


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the run of a coordinator, and what follows from it.

    `outcome` is what the transaction comes to when the coordinator is gone from there on.
    `paused`: when it was only stopped past its lease, and others recovered meanwhile.
    `lost`: when only the request or its reply is lost.
    `alive`: when it goes on as if nothing had been.
    """

    name: str
    state: str
    command: str
    when: Literal["before", "after"]
    outcome: Outcome
    machine: Literal["body", "two-phase"] = "two-phase"
    nth: int = 1
    shape: Shape = "transfer"
    named: bool = True
    paused: Outcome | None = None
    lost: Outcome | None = None
    alive: Outcome = "commit"

    @property
    def row(self) -> str:
        """The row of the table of crash points that it stands in."""
        return self.name.partition("-")[0]

    def fault(self, action: Action) -> Fault:
        """Return what makes this go wrong here."""
        return Fault(self.machine, self.state, self.command, action, self.when, self.nth)


POINTS: Final = (
    # Nothing is prepared: whoever recovers finds nothing, and who was paused may go on.
    Point("A1-work", "active", "Work", "after", "abort", machine="body", paused="commit"),
    Point("A1-asked", "preparing", "Ask", "before", "abort", paused="commit", lost="commit"),
    Point("A2-asked", "preparing", "Ask", "before", "abort", nth=2, lost="commit"),
    Point("A2-sent", "preparing", "Prepare", "before", "abort"),
    Point("A2-first", "preparing", "Prepare", "after", "abort"),
    Point("A2-last", "preparing", "Prepare", "after", "abort", nth=2),
    Point("A3-told", "aborting", "Rollback", "before", "abort", shape="refused", alive="abort"),
    Point("A3-obeyed", "aborting", "Rollback", "after", "abort", shape="refused", alive="abort"),
    Point("A4-voted", "deciding", "WriteDecision", "before", "abort"),
    Point("A6-decided", "deciding", "WriteDecision", "after", "commit"),
    Point("A6-told", "committing", "Tell", "before", "commit"),
    Point("A7-sent", "committing", "Tell", "before", "commit", nth=2),
    Point("A7-told", "committing", "Commit", "before", "commit"),
    Point("A7-obeyed", "committing", "Commit", "after", "commit"),
    Point("A8-obeyed", "committing", "Commit", "after", "commit", nth=2),
    Point("A9-committed", "committed", "WriteFinish", "before", "commit"),
    # One place only reads, and leaves at its vote.
    Point("A16-voted", "preparing", "Prepare", "after", "abort", nth=2, shape="reading"),
    Point("A16-decided", "deciding", "WriteDecision", "after", "commit", shape="reading"),
    # One place alone: in one phase, or by a decision if it was given a gid.
    Point(
        "A18-asked",
        "one-phase",
        "CommitOnePhase",
        "before",
        "abort",
        shape="single",
        named=False,
        paused="commit",
    ),
    Point(
        "A18-done", "one-phase", "CommitOnePhase", "after", "commit", shape="single", named=False
    ),
    Point("A18-voted", "deciding", "WriteDecision", "before", "abort", shape="single"),
    Point("A18-decided", "deciding", "WriteDecision", "after", "commit", shape="single"),
)

# What a recoverer does, as commands: first those after an abort, then those after a commit.
RECOVERY: Final[dict[Outcome, tuple[Fault, ...]]] = {
    "abort": (
        Fault("recovery", "undecided", "Decide", "crash", "before"),
        Fault("recovery", "undecided", "Decide", "crash", "after"),
        Fault("recovery", "abort", "InDoubt", "crash", "before"),
        Fault("recovery", "abort", "InDoubt", "crash", "after"),
        Fault("recovery", "abort", "Finish", "crash", "before"),
        Fault("recovery", "abort", "Finish", "crash", "after"),
    ),
    "commit": (
        Fault("recovery", "commit", "InDoubt", "crash", "before"),
        Fault("recovery", "commit", "InDoubt", "crash", "after"),
        Fault("recovery", "commit", "BranchRef", "crash", "before"),
        Fault("recovery", "commit", "BranchRef", "crash", "after"),
        Fault("recovery", "commit", "Finish", "crash", "before"),
        Fault("recovery", "commit", "Finish", "crash", "after"),
    ),
}

DECIDING: Final = RECOVERY["abort"][:1]


def recovery_faults(point: Point) -> tuple[Fault, ...]:
    """Return the places that a recoverer comes by after a crash at the point."""
    if not point.named or point.row == "A1" or point.name == "A3-obeyed":
        return ()
    faults = RECOVERY[point.outcome]
    if point.name in ("A7-told", "A7-obeyed", "A8-obeyed", "A9-committed"):
        # Where word is sent ahead, nothing is prepared any more; only the decision is left.
        return tuple(fault for fault in faults if fault.command != "InDoubt")
    return faults


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

    def start(self, action: Action, owner_ttl_s: float, recovers: bool = False) -> Child:
        """Start a child that does the transfer and comes to grief at the point."""
        point = self.point
        return self.stage.start(
            self.stage.job(
                "transfer",
                self.world,
                point.fault(action),
                shape=point.shape,
                gid=new_gid(),
                named=point.named,
                owner_ttl_s=owner_ttl_s,
                recovers=recovers,
            )
        )

    def recoverer(self, action: Action) -> Child:
        """Start a child that recovers and comes to grief itself."""
        faults = (replace(self.recovery, action=action),) if self.recovery else ()
        return self.stage.start(self.stage.job("recover", self.world, *faults))

    def check(self, child: Child, ended: str | None, outcome: Outcome) -> None:
        """Settle what is left, and hold all to the outcome."""
        self.stage.settle()
        self.stage.check(child.job, ended, outcome)


def crash(run: Run) -> None:
    """Kill the coordinator at the point."""
    child = run.start("crash", DEAD_SOON_S)
    child.crashed()
    run.check(child, None, run.point.outcome)


def crash_again(run: Run) -> None:
    """Kill the coordinator, then the recoverer, too."""
    child = run.start("crash", DEAD_SOON_S)
    child.crashed()
    run.stage.wait_dead()
    run.recoverer("crash").crashed()
    run.check(child, None, run.point.outcome)


def lose(run: Run) -> None:
    """Lose the request, or its reply."""
    child = run.start("lose", ALIVE_S)
    ended = child.ended()["ended"]
    assert ended != "OutcomeUnknown" or run.point.command == "WriteDecision"
    run.check(child, ended, run.point.lost or run.point.outcome)


def late(run: Run) -> None:
    """Lose the request, which is carried out all the same after everything was settled."""
    child = run.start("late", ALIVE_S, recovers=True)
    child.wait_idle()
    child.release()
    run.check(child, child.ended()["ended"], run.point.lost or run.point.outcome)


def pause(run: Run) -> None:
    """Stop the coordinator past its lease, let others recover, and let it go on.

    The lease is long, and ended by hand: a process that is stopped in the midst of renewing
    it would keep the file of a SQLite log for itself.
    """
    child = run.start("pause", ALIVE_S)
    child.paused()
    run.stage.declare_dead()
    run.stage.settle()
    child.resume()
    outcome = run.point.paused or run.point.outcome
    ended = child.ended()["ended"]
    assert ended == ("committed" if outcome == "commit" else "TransactionAborted")
    run.check(child, ended, outcome)


def watch(run: Run) -> None:
    """Hold the living coordinator at the point: a recoverer must leave its work alone."""
    child = run.start("hold", ALIVE_S)
    child.wait_reached()
    before = run.stage.in_doubt()
    with run.stage.coordinator() as coordinator:
        assert coordinator.recover() == 0
        assert {doubt.verdict for doubt in coordinator.doubts()} <= {"live", "commit"}
    assert run.stage.in_doubt() == before
    child.release()
    ended = child.ended()["ended"]
    assert ended == ("committed" if run.point.alive == "commit" else "TransactionAborted")
    run.check(child, ended, run.point.alive)


def rival(run: Run) -> None:
    """Kill the coordinator; one recoverer is held up midway while another does everything."""
    child = run.start("crash", DEAD_SOON_S)
    child.crashed()
    run.stage.wait_dead()
    held = run.recoverer("hold")
    if run.recovery:
        held.wait_reached()
    run.stage.settle()
    if run.recovery:
        held.release()
    held.ended()
    run.check(child, None, run.point.outcome)


def duel(run: Run) -> None:
    """Hold up a recoverer before it decides; the one whom it took for dead may not either."""
    child = run.start("pause", ALIVE_S)
    child.paused()
    run.stage.declare_dead()
    recoverer = run.recoverer("hold")
    recoverer.wait_reached()
    child.resume()
    ended = child.ended()["ended"]
    # Its epoch is over: what it asks for is not done, and what an earlier request of it has
    # done may have been forgotten.
    assert ended in ("OutcomeUnknown", "TransactionAborted")
    recoverer.release()
    recoverer.ended()
    run.check(child, ended, "abort")


VARIANTS: Final[dict[str, Callable[[Run], None]]] = {
    "crash": crash,
    "again": crash_again,
    "lose": lose,
    "late": late,
    "pause": pause,
    "watch": watch,
    "rival": rival,
    "duel": duel,
}


def recoveries(point: Point, variant: str) -> tuple[Fault | None, ...]:
    """Return what the scenario is run with: where its recoverer comes to grief, or None.

    Empty where the scenario cannot be: only a request can be late, and only a recoverer that
    finds something to do can crash.
    """
    if variant == "late" and (point.when != "before" or point.command in ("Work", "WriteFinish")):
        return ()
    if variant == "again":
        return recovery_faults(point)
    if variant == "duel":
        # Both have asked nothing of the log yet, and one of them is about to.
        return DECIDING if (point.row, point.when) == ("A4", "before") else ()
    if variant == "rival":
        return recovery_faults(point) or (None,)
    return (None,)
