"""What can be asked of a transaction log, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["commit", "abort"]

# A saga's states in the log; which follows which stands in transactions/saga.py.
SagaState = Literal["running", "aborting", "committed", "aborted", "stuck"]
FINAL_STATES = frozenset({"committed", "aborted"})


@dataclass(frozen=True, slots=True)
class BranchRef:
    """One prepared branch that a decision covers: its name, and where it is."""

    branch: str
    resource: str  # the participant's own lasting random id
    place: str  # its URL without credentials, for people


# --- operations ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenOwner:
    """Register a coordinator process, or take its row up again with the next epoch.

    `past` is the last epoch that the process had. The log may have forgotten it, and the
    next one is higher all the same.
    """

    owner: str
    ttl_ms: int
    note: str = ""
    past: int = 0


@dataclass(frozen=True, slots=True)
class RenewOwner:
    """Extend the owner's lease; the answer is OwnerGone if the epoch is over."""

    owner: str
    epoch: int
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class CloseOwner:
    """End the owner's epoch at once: others may recover what it left."""

    owner: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Decide:
    """Insert the decision unless the gid has one; the answer is the one that stands.

    Durable when it returns. This is the only write of a two-phase commit that counts. A
    commit is inserted only while the epoch of its owner runs. If it is over and no decision
    stands, the answer is OwnerGone: no commit of this epoch will ever be inserted, though an
    earlier one may have been, and been forgotten since.
    """

    gid: str
    outcome: Outcome
    owner: str
    epoch: int
    branches: tuple[BranchRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Finish:
    """Note that every branch of a decision has obeyed it (or who did not, in `evidence`).

    With `heuristic` the decision is kept and listed until a person has looked at it. With
    `by_hand` that has happened: what was heuristic is finished, and keeps all of its evidence
    with what that person has to say. It is Rejected for anything else.
    """

    gid: str
    heuristic: bool = False
    evidence: str = ""
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Create:
    """Store a saga or message durably before its first step; idempotent by gid.

    It is stored only while the epoch of its owner runs. If that is over and the gid has no
    record, the answer is OwnerGone: an earlier request may have been done, come to its end and
    been forgotten since.
    """

    gid: str
    kind: str
    definition: str
    payload: str
    owner: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Advance:
    """Replace a record's state if its version and its owner's epoch are still these."""

    gid: str
    version: int
    owner: str
    epoch: int
    state: SagaState
    data: str
    due_in_ms: int = 0
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """Take over due, unfinished records whose owner's epoch is over (or one's own).

    `definitions`: only records of one of these; none named, of any. `own`: the claimer's own
    ones too. `gids`: only these, due or not, and of them also the stuck, whoever has them:
    nobody works on those.
    """

    owner: str
    epoch: int
    limit: int = 16
    definitions: tuple[str, ...] = ()
    own: bool = True
    gids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """Read one gid: its decision, its record, or neither."""

    gid: str


@dataclass(frozen=True, slots=True)
class Query:
    """List a page of decisions and records, in order of gid.

    Both kinds together fill it: `limit` gids past `after`. The default gids sort by when they
    were made; others as they are spelled.

    `unfinished` keeps only what somebody still has to act on: decisions with branches that
    have not obeyed, records that are not final, and whatever is heuristic or stuck.
    """

    unfinished: bool = True
    after: str = ""
    limit: int = 256


@dataclass(frozen=True, slots=True)
class OwnerStates:
    """Ask which of these (owner, epoch) pairs are alive."""

    owners: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Purge:
    """Forget finished decisions and final records older than this age."""

    older_than_ms: int


LogOperation = (
    OpenOwner
    | RenewOwner
    | CloseOwner
    | Decide
    | Finish
    | Create
    | Advance
    | Claim
    | Load
    | Query
    | OwnerStates
    | Purge
)

# --- results ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OwnerOpened:
    """The owner's epoch in the log with this id."""

    log_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class OwnerAlive:
    """The owner's lease was extended or ended as asked."""


@dataclass(frozen=True, slots=True)
class OwnerGone:
    """The owner's epoch is over: it must not act as its owner any more, commit or create."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision that stands for a gid; `fresh` if this very request inserted it."""

    gid: str
    outcome: Outcome
    owner: str
    epoch: int
    branches: tuple[BranchRef, ...]
    state: Literal["deciding", "finished", "heuristic"]
    age_ms: int
    evidence: str = ""
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A saga or message as the log holds it."""

    gid: str
    kind: str
    definition: str
    payload: str
    state: SagaState
    data: str
    version: int
    owner: str
    epoch: int
    due_in_ms: int
    age_ms: int
    evidence: str = ""
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """The decision was marked, or there was none to mark."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Advance found another version, another owner or an epoch that is over."""

    current: Record | None


@dataclass(frozen=True, slots=True)
class Listing:
    """What Claim, Load or Query found."""

    decisions: tuple[Decision, ...] = ()
    records: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Alive:
    """The (owner, epoch) pairs whose lease runs, among those asked about, and the log's own id.

    An onlooker, who registers no owner, needs the id to tell foreign branches apart.
    """

    owners: frozenset[tuple[str, int]] = field(default_factory=frozenset)
    log_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Purged:
    """So many rows were forgotten."""

    count: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The item was malformed or refused; nothing of it was done."""

    reason: str


LogResult = (
    OwnerOpened
    | OwnerAlive
    | OwnerGone
    | Decision
    | Record
    | Finished
    | Conflict
    | Listing
    | Alive
    | Purged
    | Rejected
)


def final(state: str) -> bool:
    """Tell whether a saga in this state is over for good."""
    return state in FINAL_STATES


def as_json(ref: BranchRef) -> list[Any]:
    """Return a branch reference as a JSON-ready list."""
    return [ref.branch, ref.resource, ref.place]
