"""What a recoverer does with a branch that it finds prepared, or a decision not yet obeyed.

Both are pure tables. A recoverer never guesses: a branch without a decision is aborted only
after *abort* was inserted into the log, and then whatever decision stands is obeyed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from concordant.transactions.names import BranchId
from concordant.transactions.operations import Decision

Verdict = Literal[
    "foreign",  # not of this log: listed, never touched
    "live",  # its coordinator lives and will finish it
    "commit",  # the decision stands, and covers it
    "abort",  # the decision stands, and does not
    "undecided",  # insert abort, then look again
]


def judge(
    branch: BranchId | None, text: str, log_id: str, alive: bool, decision: Decision | None
) -> Verdict:
    """Return what to do with a prepared branch called `text`.

    `branch` is the name parsed (None: not one of ours), `alive` whether its owner's epoch
    is, `decision` what the log holds for its gid.

    A commit covers only the branches that it names: another attempt under the same gid,
    prepared but late, must roll back.
    """
    if branch is None or branch.log_id != log_id:
        return "foreign"
    if alive:
        return "live"
    if decision is None:
        return "undecided"
    if decision.outcome == "commit" and any(ref.branch == text for ref in decision.branches):
        return "commit"
    return "abort"


def siblings(found: Mapping[str, int], known: Iterable[str], silent: int) -> Iterator[Place]:
    """Yield where else a branch of one transaction may be, and under which number.

    `found` is where branches of it are prepared, by resource, with their numbers; `known` the
    resources that have answered, those among them, `silent` how many have not. Branches are
    numbered in the order of their resources, which leaves few places; none at all in the
    usual case, where all of them are found.
    """
    ranks = {resource: rank for rank, resource in enumerate(sorted(known))}
    for resource, rank in ranks.items():
        if resource in found:
            continue
        lowest, highest = 0, rank + silent
        for other, number in found.items():
            away = rank - ranks[other]
            # Each that stands between the two may have a branch, or none.
            if away > 0:
                lowest, highest = max(lowest, number + 1), min(highest, number + away + silent)
            else:
                lowest, highest = max(lowest, number + away - silent), min(highest, number - 1)
        for number in range(lowest, highest + 1):
            yield Place(resource, number)


class Place(NamedTuple):
    """Where a branch may be: a resource, and the branch's number in its transaction."""

    resource: str
    number: int


@dataclass(frozen=True, slots=True)
class Obeyed:
    """How far a commit decision has come after one round of telling its branches."""

    finished: bool
    heuristic: bool
    evidence: str


def weigh(answers: dict[str, Literal["done", "already", "missing", "unreached"]]) -> Obeyed:
    """Return whether a commit decision is over, from each of its branches' answers.

    A branch that is missing without evidence that it committed went another way, whoever
    did that: a person has to look. That is told only once every branch has answered.
    """
    if "unreached" in answers.values():
        return Obeyed(False, False, "")
    missing = sorted(branch for branch, answer in answers.items() if answer == "missing")
    if missing:
        return Obeyed(
            True,
            True,
            f"decided commit, but {', '.join(missing)} neither is prepared nor has committed: "
            "it was rolled back by hand, or its database was restored from before",
        )
    return Obeyed(True, False, "")
