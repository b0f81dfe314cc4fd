# Generated from src/concordant/aio/recovery.py by tools/unasync.py; do not edit.
"""Recovery: find what crashed coordinators left, and bring it to the one outcome."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from concordant.drivers.base import InDoubt, Participant
from concordant.transactions.names import BranchId
from concordant.transactions.operations import BranchRef, Decide, Decision, Finish, Finished
from concordant.transactions.recovery import Verdict, judge, siblings, weigh

if TYPE_CHECKING:
    from concordant.sync.coordinator import Coordinator

_log = logging.getLogger("concordant.transactions")


@dataclass(frozen=True, slots=True)
class Recovered:
    """A branch that recovery brought to its outcome."""

    gid: str
    branch: str
    place: str
    outcome: Literal["commit", "abort", "heuristic"]
    owner: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """A branch in doubt as a person sees it: what, where, whose, since when, and why still."""

    gid: str
    branch: str
    place: str
    age_s: float
    owner: str
    verdict: Verdict | Literal["heuristic"]
    evidence: str


@dataclass(frozen=True, slots=True)
class _Found:
    """A prepared branch and all that is known of it."""

    participant: Participant
    branch: InDoubt
    parsed: BranchId | None
    verdict: Verdict
    # Where branches of the same attempt are prepared, with their numbers.
    beside: Mapping[str, int]
    everybody: _Everybody


@dataclass(slots=True)
class _Everybody:
    """The participants that have answered in this pass, by resource; how many have not."""

    known: dict[str, Participant] = field(default_factory=dict)
    silent: int = 0


def _attempt(branch: BranchId) -> BranchId:
    """Return what all branches of one attempt at a transaction have in common."""
    return replace(branch, index=0)


class Recoverer:
    """One pass after another over the participants and the log; see transactions/recovery.py.

    Passes of several processes may overlap: each step is idempotent, and the log makes them
    agree.
    """

    def __init__(
        self, coordinator: Coordinator, on_recovered: Callable[[Recovered], None] | None
    ) -> None:
        self._coordinator = coordinator
        self._on_recovered = on_recovered

    def run_once(self) -> int:
        """Recover what can be recovered now and return how many branches that were."""
        count = 0
        # What is done already, and only not marked yet, need not be looked at.
        self._coordinator.journal.flush()
        for found in self.find():
            if found.verdict in ("commit", "abort", "undecided"):
                count += self._guarded(self._settle_branch, found)
        # First, so that what this process has finished is not looked at once more.
        self._coordinator.journal.flush()
        for decision in (self._coordinator.journal.unfinished()).decisions:
            if decision.outcome == "commit" and decision.state == "deciding":
                count += self._guarded(self._settle_decision, decision)
            elif decision.state == "deciding":
                # A decision to abort covers no branch by name; the scan above finds them.
                self._guarded(self._forget_abort, decision)
        return count

    def find(self) -> list[_Found]:
        """Return every prepared branch at the known participants, judged."""
        # What is under way when its branches are listed is left alone for this pass, though
        # it may have ended since.
        running = self._coordinator.all_running()
        listed: list[tuple[Participant, InDoubt, BranchId | None]] = []
        beside: dict[BranchId, dict[str, int]] = defaultdict(dict)
        everybody = _Everybody()
        for participant in self._coordinator.participants():
            try:
                branches = participant.in_doubt()
                resource = participant.resource()
            except Exception as error:
                _log.warning("recovery cannot reach %s: %s", participant.place, error)
                everybody.silent += 1
                continue
            everybody.known[resource] = participant
            for branch in branches:
                parsed = BranchId.parse(branch.branch)
                listed.append((participant, branch, parsed))
                if parsed is not None:
                    beside[_attempt(parsed)][resource] = parsed.index
        ours = [
            parsed
            for _, _, parsed in listed
            if parsed is not None and parsed.log_id == self._coordinator.ownership.log_id
        ]
        journal = self._coordinator.journal
        # Liveness is asked after the listing and before the decisions: an owner that was
        # seen dead can only be overtaken by decisions that are then read or inserted first.
        alive = journal.alive(sorted({(each.owner, each.epoch) for each in ours}))
        decisions = journal.decisions(sorted({each.gid for each in ours}))
        return [
            _Found(
                participant,
                branch,
                parsed,
                judge(
                    parsed,
                    branch.branch,
                    self._coordinator.ownership.log_id,
                    parsed is not None
                    and (
                        self._lives(parsed.owner, parsed.epoch, parsed.gid, alive)
                        or (parsed.owner == self._owner and parsed.gid in running)
                    ),
                    decisions.get(parsed.gid) if parsed is not None else None,
                ),
                beside[_attempt(parsed)] if parsed is not None else {},
                everybody,
            )
            for participant, branch, parsed in listed
        ]

    def doubts(self) -> list[Doubt]:
        """Return the branches in doubt with their evidence, and unfinished decisions."""
        doubts = [
            Doubt(
                found.parsed.gid if found.parsed else "",
                found.branch.branch,
                found.participant.place,
                found.branch.age_s,
                f"{found.parsed.owner}-{found.parsed.epoch}" if found.parsed else "",
                found.verdict,
                found.branch.detail,
            )
            for found in self.find()
        ]
        listed = {doubt.branch for doubt in doubts}
        for decision in (self._coordinator.journal.unfinished()).decisions:
            heuristic = decision.state == "heuristic"
            branches = [
                (ref.branch, ref.place) for ref in decision.branches if ref.branch not in listed
            ]
            # An abort names no branches, so its evidence stands alone.
            if heuristic and not decision.branches:
                branches = [("", "")]
            doubts += [
                Doubt(
                    decision.gid,
                    branch,
                    place,
                    decision.age_ms / 1000,
                    f"{decision.owner}-{decision.epoch}",
                    "heuristic" if heuristic else decision.outcome,
                    decision.evidence or f"decided {decision.outcome}, not yet obeyed everywhere",
                )
                for branch, place in branches
            ]
        return doubts

    @property
    def _owner(self) -> str:
        return self._coordinator.ownership.owner

    def _lives(self, owner: str, epoch: int, gid: str, alive: frozenset[tuple[str, int]]) -> bool:
        if owner == self._owner:
            # What this very process no longer runs was left behind by an error.
            return self._coordinator.running(gid)
        return (owner, epoch) in alive

    def _guarded(self, action: Any, subject: Any) -> int:
        try:
            return int(action(subject))
        except Exception as error:
            _log.warning("recovery goes on without %s: %s", subject, error)
            return 0

    def _settle_branch(self, found: _Found) -> int:
        assert found.parsed is not None
        parsed, name = found.parsed, found.branch.branch
        verdict = found.verdict
        if verdict == "undecided":
            if not self._still_there(found):
                return 0
            decide = Decide(parsed.gid, "abort", parsed.owner, parsed.epoch)
            stands = self._execute(
                verdict, decide, lambda: self._coordinator.journal.decide(decide)
            )
            verdict = judge(parsed, name, parsed.log_id, False, stands)
        commit = verdict == "commit"
        others = 0 if commit else self._ask_siblings(found, parsed)
        resolution = self._execute(
            verdict,
            found.branch,
            lambda: found.participant.resolve(name, commit),
        )
        if not commit and resolution == "already":
            self._mark_heuristic(parsed.gid, f"decided abort, but {name} has committed")
            self._tell(parsed.gid, name, found.participant.place, "heuristic", parsed.owner)
        elif resolution == "done":
            outcome: Literal["commit", "abort"] = "commit" if commit else "abort"
            self._tell(parsed.gid, name, found.participant.place, outcome, parsed.owner)
        return others + int(resolution == "done")

    def _still_there(self, found: _Found) -> bool:
        """Tell whether the branch is prepared even now that no decision was found.

        Only that proves that there never was one: it might have been obeyed since the branch was
        listed, and forgotten before it was asked for.
        """
        listed = found.participant.in_doubt()
        return any(each.branch == found.branch.branch for each in listed)

    def _ask_siblings(self, found: _Found, parsed: BranchId) -> int:
        """Tell the branches to roll back that were not found prepared beside this one.

        An abort names no branches, so one that a person has committed by hand would go
        unnoticed; it has left its evidence. Asked before the last branch that is known of is
        gone, so that whoever crashes here is followed by one who asks again.
        """
        everybody = found.everybody
        count = 0
        for resource, index in siblings(found.beside, everybody.known, everybody.silent):
            participant = everybody.known[resource]
            name = str(replace(parsed, index=index))
            ref = BranchRef(name, resource, participant.place)
            try:
                resolution = self._execute("abort", ref, partial(participant.resolve, name, False))
            except Exception as error:
                _log.warning("recovery cannot ask for %s: %s", name, error)
                continue
            if resolution == "already":
                self._mark_heuristic(parsed.gid, f"decided abort, but {name} has committed")
                self._tell(parsed.gid, name, participant.place, "heuristic", parsed.owner)
            elif resolution == "done":
                self._tell(parsed.gid, name, participant.place, "abort", parsed.owner)
                count += 1
        return count

    def _settle_decision(self, decision: Decision) -> int:
        journal = self._coordinator.journal
        owner = (decision.owner, decision.epoch)
        if self._lives(*owner, decision.gid, journal.alive([owner])):
            return 0
        by_resource = self._coordinator.by_resource()
        answers: dict[str, Literal["done", "already", "missing", "unreached"]] = {}
        for ref in decision.branches:
            participant = by_resource.get(ref.resource)
            if participant is None:
                answers[ref.branch] = "unreached"
                continue
            answers[ref.branch] = self._resolve_ref(participant, ref)
            if answers[ref.branch] == "done":
                self._tell(decision.gid, ref.branch, ref.place, "commit", decision.owner)
        obeyed = weigh(answers)
        if obeyed.heuristic:
            self._mark_heuristic(decision.gid, obeyed.evidence)
            self._tell(decision.gid, "", "", "heuristic", decision.owner)
        elif obeyed.finished:
            self._finish("commit", Finish(decision.gid))
        return sum(answer == "done" for answer in answers.values())

    def _resolve_ref(
        self, participant: Participant, ref: BranchRef
    ) -> Literal["done", "already", "missing", "unreached"]:
        try:
            resolution: Literal["done", "already", "missing"] = self._execute(
                "commit", ref, lambda: participant.resolve(ref.branch, True)
            )
        except Exception as error:
            _log.warning("recovery cannot commit %s: %s", ref.branch, error)
            return "unreached"
        return resolution

    def _forget_abort(self, decision: Decision) -> int:
        self._finish("abort", Finish(decision.gid))
        return 0

    def _mark_heuristic(self, gid: str, evidence: str) -> None:
        _log.error("heuristic outcome of %s: %s", gid, evidence)
        self._finish("heuristic", Finish(gid, True, evidence))

    def _finish(self, state: str, finish: Finish) -> None:
        journal = self._coordinator.journal
        self._execute(state, finish, lambda: journal.ask(finish, Finished))

    def _execute(self, state: str, command: object, action: Any) -> Any:
        return self._coordinator.executor("recovery", state, command, action)

    def _tell(
        self,
        gid: str,
        branch: str,
        place: str,
        outcome: Literal["commit", "abort", "heuristic"],
        owner: str,
    ) -> None:
        _log.info("recovered %s at %s: %s", branch, place, outcome)
        if self._on_recovered is not None:
            self._on_recovered(Recovered(gid, branch, place, outcome, owner))
