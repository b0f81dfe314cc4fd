"""What log and participants say of unfinished transactions, asked without changing anything.

A coordinator would register itself and recover; here the log is only read, and participants
only list what they hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from concordant.cli.reach import REACH_S, within
from concordant.drivers import registry
from concordant.drivers.base import InDoubt
from concordant.drivers.urls import mask
from concordant.errors import BackendUnavailable, OutcomeUnknown
from concordant.sync.journal import Journal
from concordant.transactions.names import BranchId
from concordant.transactions.operations import (
    Alive,
    Decision,
    Listing,
    OwnerStates,
    Record,
    final,
)
from concordant.transactions.recovery import Verdict, judge

_WHY = {
    "foreign": "of another log, or not of this package; only that log's recovery may end it",
    "live": "its coordinator lives, and will finish it",
    "commit": "decided commit; recovery will commit it",
    "abort": "not covered by the decision; recovery will roll it back",
    "undecided": "no decision, and its coordinator is dead; recovery will decide abort",
}
_PAIRS_MAX = 128


@dataclass(frozen=True, slots=True)
class Found:
    """A branch that a participant holds prepared."""

    place: str
    branch: InDoubt
    parsed: BranchId | None


@dataclass(frozen=True, slots=True)
class Doubt:
    """One thing that is not finished: a prepared branch, a decision's branch, or a record."""

    kind: str
    gid: str
    branch: str
    place: str
    state: str
    age_s: float
    owner: str
    owner_alive: bool
    evidence: str


@dataclass(slots=True)
class Picture:
    """All that was found: `listed` as the log told it, `decisions` those of branches too."""

    listed: Listing
    found: list[Found]
    decisions: dict[str, Decision]
    alive: frozenset[tuple[str, int]] = frozenset()
    log_id: str = ""
    unreached: list[str] = field(default_factory=list)

    def doubts(self) -> list[Doubt]:
        """Return what is in doubt: branches found, then what only the log speaks of."""
        prepared = [self._of_branch(each) for each in self.found]
        known = {doubt.branch for doubt in prepared}
        open_records = [each for each in self.listed.records if not final(each.state)]
        return [*prepared, *self._of_decisions(known), *map(self._of_record, open_records)]

    def lives(self, owner: str, epoch: int) -> bool:
        """Tell whether that epoch of a coordinator runs."""
        return (owner, epoch) in self.alive

    def _of_branch(self, found: Found) -> Doubt:
        parsed, branch = found.parsed, found.branch
        alive = parsed is not None and self.lives(parsed.owner, parsed.epoch)
        decision = self.decisions.get(parsed.gid) if parsed else None
        verdict: Verdict = judge(parsed, branch.branch, self.log_id, alive, decision)
        return Doubt(
            "branch",
            parsed.gid if parsed else "",
            branch.branch,
            found.place,
            verdict,
            branch.age_s,
            f"{parsed.owner}-{parsed.epoch}" if parsed else "",
            alive,
            "; ".join(filter(None, (_WHY[verdict], branch.detail))),
        )

    def _of_decisions(self, known: set[str]) -> Iterator[Doubt]:
        for decision in self.listed.decisions:
            if decision.state == "finished":
                continue
            what = f"decided {decision.outcome}"
            evidence = one_line(decision.evidence) or f"{what}, not yet obeyed everywhere"
            state = "heuristic" if decision.state == "heuristic" else decision.outcome
            alive = self.lives(decision.owner, decision.epoch)
            # One that names no branch, as an abort does, is in doubt by itself.
            for branch, place in [(ref.branch, ref.place) for ref in decision.branches] or [
                ("", "")
            ]:
                if not branch or branch not in known:
                    yield Doubt(
                        "decision",
                        decision.gid,
                        branch,
                        place,
                        state,
                        decision.age_ms / 1000,
                        f"{decision.owner}-{decision.epoch}",
                        alive,
                        evidence,
                    )

    def _of_record(self, record: Record) -> Doubt:
        return Doubt(
            record.kind,
            record.gid,
            "",
            "",
            record.state,
            record.age_ms / 1000,
            f"{record.owner}-{record.epoch}",
            self.lives(record.owner, record.epoch),
            record.evidence or f"{record.definition}, due in {record.due_in_ms / 1000:g} s",
        )


def look(
    journal: Journal | None, listed: Listing, participants: Sequence[str], gid: str = ""
) -> Picture:
    """Return the picture of what the log listed and what the participants hold.

    With a gid, of its branches alone. A participant that does not answer is named in
    `unreached`; one that cannot be a participant raises. Without a log all is foreign.
    """
    picture = Picture(listed, [], {each.gid: each for each in listed.decisions})
    for url in participants:
        try:
            picture.found += within(REACH_S, mask(url), _Asking(url))
        except (BackendUnavailable, OutcomeUnknown) as error:
            picture.unreached.append(f"{mask(url)}: {error}")
    if gid:
        picture.found = [each for each in picture.found if each.parsed and each.parsed.gid == gid]
    if journal is None:
        return picture
    ours = [each.parsed for each in picture.found if each.parsed is not None]
    # Liveness before decisions, as recovery does: whoever is seen dead decides nothing that
    # is not read afterwards.
    owned: list[Any] = [*ours, *listed.decisions, *listed.records]
    pairs = sorted({(each.owner, each.epoch) for each in owned})
    for start in range(0, max(1, len(pairs)), _PAIRS_MAX):
        asked = OwnerStates(tuple(pairs[start : start + _PAIRS_MAX]))
        answer = journal.ask(asked, Alive)
        picture.alive |= answer.owners
        picture.log_id = answer.log_id
    picture.decisions |= journal.decisions(sorted({each.gid for each in ours}))
    return picture


def one_line(evidence: str) -> str:
    """Return what was seen, which has a line each, as people read it in a table."""
    return "; ".join(evidence.splitlines())


@dataclass(frozen=True, slots=True)
class _Asking:
    """The question to one participant."""

    url: str

    def __call__(self) -> list[Found]:
        # One that never took part holds nothing of ours, and shall not have our tables.
        if not registry.survey(self.url, "participant").made:
            return []
        participant = registry.participant(self.url)
        try:
            branches = participant.in_doubt()
            place = participant.place
        finally:
            participant.close()
        return [Found(place, each, BranchId.parse(each.branch)) for each in branches]
