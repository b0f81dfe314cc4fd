"""Two-phase commit with presumed abort, as a pure machine: `step(machine, event)`.

Source: Mohan, Lindsay, Obermarck, "Transaction Management in the R* Distributed Database
Management System" (1986). The only durable write is the decision to commit. No decision
means abort, so nothing is written before it, and a recoverer that finds a prepared branch
without a decision inserts *abort* first: the log takes one decision for a gid, and whoever
comes second obeys it. That is why a paused coordinator and a recoverer cannot disagree.

What may follow what:

===========  ===============================  ==========================================
state        event                            next state, commands
===========  ===============================  ==========================================
active       BodyDone, one branch             one-phase: CommitOnePhase
active       BodyDone, several or recorded    preparing: Ask and Prepare every branch
active       BodyFailed                       aborting: Abandon every branch
preparing    Voted, VoteUnknown               after the last vote deciding: WriteDecision;
                                              committed if every branch was read-only;
                                              aborting if one refused or is unknown:
                                              Rollback what may be prepared
deciding     Decided commit                   committing: Tell and Commit every prepared
                                              branch
deciding     Decided abort                    aborting: Rollback every prepared branch
deciding     DecisionUnknown                  unknown: nothing, recovery finds out
committing   Resolved, Unreached              committed once each has answered; WriteFinish
                                              if each has obeyed, heuristic if one is gone
aborting     Resolved, Unreached, Abandoned   aborted; heuristic, WriteFinish if one had
                                              committed
one-phase    OnePhase                         committed, aborted or unknown
===========  ===============================  ==========================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

State = Literal[
    "active",
    "preparing",
    "deciding",
    "committing",
    "aborting",
    "one-phase",
    "committed",
    "aborted",
    "heuristic",
    "unknown",
]
FINAL: Final[frozenset[State]] = frozenset({"committed", "aborted", "heuristic", "unknown"})

BranchState = Literal[
    "begun",  # work is being done on it, or its vote is awaited
    "prepared",  # voted, waits for the decision
    "maybe",  # the vote was lost: it may be prepared
    "refused",  # voted no: nothing of it remains
    "left",  # read-only or abandoned: nothing of it remains
    "obeyed",  # did what was decided
    "unreached",  # was told, and nobody knows whether it heard
    "gone",  # did something else than decided
]

# --- events -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BodyDone:
    """The user's work is done on every branch.

    `recorded`: whoever asks the log for the gid later must find the commit, so a single
    branch takes the way of several: its own commit leaves nothing in the log.
    """

    recorded: bool = False


@dataclass(frozen=True, slots=True)
class BodyFailed:
    """The user's work raised."""


@dataclass(frozen=True, slots=True)
class Voted:
    """A branch voted."""

    index: int
    vote: Literal["prepared", "read-only", "refused"]


@dataclass(frozen=True, slots=True)
class VoteUnknown:
    """The vote of a branch was lost."""

    index: int


@dataclass(frozen=True, slots=True)
class Decided:
    """The decision that stands for this very attempt."""

    outcome: Literal["commit", "abort"]


@dataclass(frozen=True, slots=True)
class DecisionUnknown:
    """The log did not answer, ever so often asked."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A branch was told to commit or roll back, and answered."""

    index: int
    resolution: Literal["done", "already", "missing"]


@dataclass(frozen=True, slots=True)
class Unreached:
    """A branch was told to commit or roll back, and did not answer."""

    index: int


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A branch that had not voted was rolled back."""

    index: int


@dataclass(frozen=True, slots=True)
class OnePhase:
    """How a commit without prepare ended."""

    outcome: Literal["committed", "aborted", "unknown"]


Event = (
    BodyDone
    | BodyFailed
    | Voted
    | VoteUnknown
    | Decided
    | DecisionUnknown
    | Resolved
    | Unreached
    | Abandoned
    | OnePhase
)

# --- commands -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a branch the question for its vote ahead; one that is lost is asked by Prepare."""

    index: int


@dataclass(frozen=True, slots=True)
class Prepare:
    """Have the vote of a branch."""

    index: int


@dataclass(frozen=True, slots=True)
class WriteDecision:
    """Insert the decision to commit, durably, unless another one stands."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a prepared branch word to commit ahead; one that is lost is told by Commit."""

    index: int


@dataclass(frozen=True, slots=True)
class Commit:
    """Have a prepared branch commit."""

    index: int


@dataclass(frozen=True, slots=True)
class Rollback:
    """Tell a branch that is or may be prepared to roll back."""

    index: int


@dataclass(frozen=True, slots=True)
class Abandon:
    """Roll back a branch that has not been asked to prepare."""

    index: int


@dataclass(frozen=True, slots=True)
class CommitOnePhase:
    """Commit the only branch, without prepare."""

    index: int


@dataclass(frozen=True, slots=True)
class WriteFinish:
    """Note that the decision was obeyed everywhere, or that somebody did otherwise."""

    heuristic: bool


Command = (
    Ask
    | Prepare
    | WriteDecision
    | Tell
    | Commit
    | Rollback
    | Abandon
    | CommitOnePhase
    | WriteFinish
)


@dataclass(frozen=True, slots=True)
class TwoPhase:
    """One global transaction: its state and its branches'."""

    state: State
    branches: tuple[BranchState, ...]

    @classmethod
    def begun(cls, branches: int) -> TwoPhase:
        """Return the machine for so many branches that have begun."""
        begun: BranchState = "begun"
        return cls("active", (begun,) * branches)

    @property
    def final(self) -> bool:
        """Whether nothing more will happen here."""
        return self.state in FINAL

    def with_branch(self, index: int, state: BranchState) -> TwoPhase:
        """Return the machine with one branch in another state."""
        return TwoPhase(self.state, (*self.branches[:index], state, *self.branches[index + 1 :]))

    def having(self, *states: BranchState) -> list[int]:
        """Return the indices of the branches in any of these states."""
        return [index for index, state in enumerate(self.branches) if state in states]


Step = tuple[TwoPhase, tuple[Command, ...]]


def step(machine: TwoPhase, event: Event) -> Step:
    """Return the next machine and the commands to run, in order.

    Raises ValueError for an event that cannot come in this state.
    """
    match machine.state, event:
        case "active", BodyDone(recorded):
            return _prepare_or_commit(machine, recorded)
        case "active", BodyFailed():
            return _abort(machine)
        case "preparing", Voted(index, vote):
            return _counted(machine.with_branch(index, "left" if vote == "read-only" else vote))
        case "preparing", VoteUnknown(index):
            return _counted(machine.with_branch(index, "maybe"))
        case "deciding", Decided("commit"):
            prepared = machine.having("prepared")
            return _to(machine, "committing", *map(Tell, prepared), *map(Commit, prepared))
        case "deciding", Decided("abort"):
            return _abort(machine)
        case "deciding", DecisionUnknown():
            return _to(machine, "unknown")
        case "committing", Resolved(index, resolution):
            obeyed = resolution in ("done", "already")
            return _committed(machine.with_branch(index, "obeyed" if obeyed else "gone"))
        case "committing", Unreached(index):
            return _committed(machine.with_branch(index, "unreached"))
        case "aborting", Resolved(index, resolution):
            gone = resolution == "already"
            return _aborted(machine.with_branch(index, "gone" if gone else "obeyed"))
        case "aborting", Unreached(index):
            return _aborted(machine.with_branch(index, "unreached"))
        case "aborting", Abandoned(index):
            return _aborted(machine.with_branch(index, "left"))
        case "one-phase", OnePhase(outcome):
            return _to(machine, outcome)
    raise ValueError(f"{event} cannot come in the state {machine.state}")


def _to(machine: TwoPhase, state: State, *commands: Command) -> Step:
    return TwoPhase(state, machine.branches), commands


def _prepare_or_commit(machine: TwoPhase, recorded: bool) -> Step:
    match len(machine.branches):
        case 0:
            return _to(machine, "committed")
        case 1 if not recorded:
            return _to(machine, "one-phase", CommitOnePhase(0))
        case count:
            return _to(machine, "preparing", *map(Ask, range(count)), *map(Prepare, range(count)))


def _counted(machine: TwoPhase) -> Step:
    if "begun" in machine.branches:
        return machine, ()
    if "refused" in machine.branches or "maybe" in machine.branches:
        return _abort(machine)
    if "prepared" in machine.branches:
        return _to(machine, "deciding", WriteDecision())
    return _to(machine, "committed")


def _abort(machine: TwoPhase) -> Step:
    commands: list[Command] = [
        Rollback(index) if state in ("prepared", "maybe") else Abandon(index)
        for index, state in enumerate(machine.branches)
        if state in ("prepared", "maybe", "begun")
    ]
    return _to(machine, "aborting" if commands else "aborted", *commands)


def _committed(machine: TwoPhase) -> Step:
    if machine.having("prepared"):
        return machine, ()
    if machine.having("gone"):
        return _to(machine, "heuristic", WriteFinish(heuristic=True))
    if machine.having("unreached"):
        # Decided all the same: recovery goes on telling them, and the decision stays.
        return _to(machine, "committed")
    return _to(machine, "committed", WriteFinish(heuristic=False))


def _aborted(machine: TwoPhase) -> Step:
    if machine.having("prepared", "maybe", "begun"):
        return machine, ()
    if machine.having("gone"):
        return _to(machine, "heuristic", WriteFinish(heuristic=True))
    return _to(machine, "aborted")
