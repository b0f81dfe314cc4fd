# Generated from tests/surface/aio/test_aio_coordinator_recovery.py by tools/unasync.py; do not edit.
"""Recovery by a coordinator: what it settles, what it only lists, and what it leaves alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from concordant import (
    Coordinator,
    HeuristicOutcome,
    OutcomeUnknown,
    TransactionAborted,
    UsageError,
)
from concordant.drivers import registry
from concordant.sync.recovery import Recovered
from concordant.transactions.names import BranchId, new_gid, new_owner
from concordant.transactions.operations import (
    BranchRef,
    CloseOwner,
    Create,
    Decide,
    Finish,
    LogOperation,
    OpenOwner,
)
from tests.provision.memory import MEMORY
from tests.surface.sync.moving import coordinating
from tests.surface.sync.paying import BEFORE, Gate, Places, severed, transfer
from tests.surface.together import Background, eventually

pytestmark = pytest.mark.parametrize("log_backend", [pytest.param(MEMORY, id="memory")])


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Two databases."""
    return Places(tmp_path)


def left_behind(
    coordinator: Coordinator, places: Places, gid: str = "g-1", owner: str = ""
) -> list[str]:
    """Leave both branches of a transfer prepared, by a coordinator that is dead."""
    log_id, owner = coordinator.ownership.log_id, owner or new_owner()
    return [
        places.prepare(number, BranchId(log_id, owner, 1, number, gid), amount)
        for number, amount in enumerate((-10, 10))
    ]


def decide(log_url: str, branches: list[str], places: Places, gid: str = "g-1") -> None:
    """Put the decision to commit them into the log, as their dead coordinator has."""
    parsed = BranchId.parse(branches[0])
    assert parsed is not None
    refs = []
    for url, branch in zip(places.urls, branches, strict=True):
        participant = registry.participant(url)
        refs.append(BranchRef(branch, participant.resource(), participant.place))
        participant.close()
    dead = (parsed.owner, parsed.epoch)
    tell(
        log_url,
        OpenOwner(parsed.owner, 60_000),
        Decide(gid, "commit", *dead, tuple(refs)),
        CloseOwner(*dead),
    )


def tell(log_url: str, *batch: LogOperation) -> None:
    """Apply operations to the log."""
    log = registry.transaction_log(log_url)
    log.apply(list(batch))
    log.close()


# --- what it settles ----------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["commit", "abort"])
def test_what_a_dead_coordinator_left_comes_to_one_outcome_and_is_told(
    log_url: str, places: Places, outcome: str
) -> None:
    told: list[Recovered] = []
    with coordinating(log_url, participants=places.urls, on_recovered=told.append) as coordinator:
        owner = new_owner()
        branches = left_behind(coordinator, places, owner=owner)
        if outcome == "commit":
            decide(log_url, branches, places)
        doubts = coordinator.doubts()
        expected = "undecided" if outcome == "abort" else "commit"
        assert [(each.gid, each.branch, each.verdict) for each in doubts] == [
            ("g-1", branch, expected) for branch in branches
        ]
        assert {each.owner for each in doubts} == {f"{owner}-1"}
        assert coordinator.recover() == 2
        assert [(each.branch, each.outcome, each.owner) for each in told] == [
            (branch, outcome, owner) for branch in branches
        ]
        assert coordinator.doubts() == []
        assert coordinator.recover() == 0
        assert coordinator.outcome("g-1") == outcome
        assert coordinator.purge(0) == 1
    assert places.balances() == (places.moved() if outcome == "commit" else [BEFORE, BEFORE])


def test_it_recovers_at_the_start_and_by_itself(log_url: str, places: Places) -> None:
    with coordinating(log_url) as other:
        left_behind(other, places, "g-1")
        with coordinating(log_url, participants=places.urls, recover_every_s=0.05):
            assert places.in_doubt() == []
            left_behind(other, places, "g-2")

            def nothing_left() -> bool:
                return places.in_doubt() == []

            eventually(nothing_left)
    assert places.balances() == [BEFORE, BEFORE]


def test_a_callback_that_raises_does_not_stop_it(log_url: str, places: Places) -> None:
    def complain(recovered: Recovered) -> None:
        raise RuntimeError("broken by the test")

    with coordinating(log_url, participants=places.urls, on_recovered=complain) as coordinator:
        branches = left_behind(coordinator, places, "g-1")
        decide(log_url, branches, places, "g-1")
        for _ in range(2):
            coordinator.recover()
        assert coordinator.doubts() == []
    assert places.balances() == places.moved()


def test_a_place_that_is_gone_does_not_keep_the_others(
    log_url: str, places: Places, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = f"sqlite://{tmp_path}/no-such-folder/x.db"
    with coordinating(log_url, participants=[nowhere, *places.urls]) as coordinator:
        left_behind(coordinator, places)
        with caplog.at_level(logging.WARNING):
            assert coordinator.recover() == 2
        assert "no-such-folder" in caplog.text
    assert places.in_doubt() == []


def test_a_late_branch_of_a_transaction_that_was_decided_is_rolled_back(
    log_url: str, places: Places
) -> None:
    with coordinating(log_url, participants=places.urls) as coordinator:
        with coordinator.transaction(*places.urls, gid="g-1") as connections:
            transfer(connections)
        # Of another attempt under the same gid: the decision does not name it.
        left_behind(coordinator, places, "g-1")
        assert coordinator.recover() == 2
    assert places.balances() == places.moved()
    assert places.in_doubt() == []


# --- what it leaves alone -----------------------------------------------------------------


def test_foreign_branches_are_listed_and_never_touched(log_url: str, places: Places) -> None:
    with coordinating(log_url, participants=places.urls) as coordinator:
        foreign = [
            # Of another log, and of somebody who is none of us.
            places.prepare(0, BranchId("cother22", new_owner(), 1, 0, "g-1"), -10),
            places.prepare(1, BranchId("somebody", "else", 1, 0, "g-1"), 10),
        ]
        # A decision of this log for the same gid is none for them.
        tell(log_url, Decide("g-1", "abort", new_owner(), 1))
        assert coordinator.recover() == 0
        doubts = coordinator.doubts()
        assert [(doubt.branch, doubt.verdict) for doubt in doubts] == [
            (branch, "foreign") for branch in foreign
        ]
        assert all(doubt.age_s >= 0 and doubt.place and doubt.evidence for doubt in doubts)
        assert places.in_doubt() == foreign


def test_the_living_are_left_alone(log_url: str, places: Places) -> None:
    gate = Gate("deciding", "WriteDecision")
    with (
        coordinating(log_url, executor=gate, recover_every_s=0.02) as busy,
        coordinating(log_url, participants=places.urls) as other,
    ):

        def pay() -> None:
            with busy.transaction(*places.urls, gid="g-1") as connections:
                transfer(connections)

        paying = Background(pay)
        eventually(gate.was_reached)
        for coordinator in (busy, other):
            assert coordinator.recover() == 0
            assert {doubt.verdict for doubt in coordinator.doubts()} == {"live"}
        assert len(places.in_doubt()) == 2
        gate.open = True
        paying.result()
    assert places.balances() == places.moved()


# --- outcomes that nobody knows yet -------------------------------------------------------


@pytest.mark.parametrize("applied", [True, False])
def test_a_log_that_does_not_answer_leaves_the_outcome_to_recovery(
    log_url: str, places: Places, applied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("concordant.sync.journal._PAUSES_S", (0.01, 0.01))
    with severed(applied, times=3):
        with coordinating(log_url) as coordinator:
            with pytest.raises(OutcomeUnknown, match="g-1"):
                pay_once(coordinator, places)
            assert len(places.in_doubt()) == 2
            # The same process knows that nobody works on it any more.
            assert coordinator.recover() == 2
            assert coordinator.outcome("g-1") == ("commit" if applied else "abort")
    assert places.balances() == (places.moved() if applied else [BEFORE, BEFORE])


@pytest.mark.parametrize("applied", [True, False])
def test_a_log_that_answers_when_asked_again_is_no_trouble(
    log_url: str, places: Places, applied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("concordant.sync.journal._PAUSES_S", (0.01, 0.01))
    with severed(applied, times=2):
        with coordinating(log_url) as coordinator:
            pay_once(coordinator, places)
            assert coordinator.outcome("g-1") == "commit"
    assert places.balances() == places.moved()


def pay_once(coordinator: Coordinator, places: Places) -> None:
    with coordinator.transaction(*places.urls, gid="g-1") as connections:
        transfer(connections)


def test_one_that_slept_through_an_abort_and_its_purge_commits_nothing(
    log_url: str, places: Places
) -> None:
    gate = Gate("deciding", "WriteDecision")
    with (
        coordinating(log_url, executor=gate) as sleeper,
        coordinating(log_url, participants=places.urls) as other,
    ):
        paying = Background(lambda: pay_once(sleeper, places))
        eventually(gate.was_reached)
        tell(log_url, CloseOwner(sleeper.ownership.owner, sleeper.ownership.epoch))
        assert other.recover() == 2
        assert other.outcome("g-1") == "abort"
        assert other.purge(0) == 1
        gate.open = True
        with pytest.raises((OutcomeUnknown, TransactionAborted), match="g-1"):
            paying.result()
        assert other.outcome("g-1") is None
        assert other.doubts() == []
    assert places.balances() == [BEFORE, BEFORE]


def test_a_recoverer_that_slept_through_a_commit_and_its_purge_aborts_nothing(
    log_url: str, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        coordinating(log_url, participants=places.urls) as sleeper,
        coordinating(log_url, participants=places.urls) as other,
    ):
        decide(log_url, left_behind(other, places), places)
        alive = sleeper.journal.alive

        def sleep(owners: Sequence[tuple[str, int]]) -> frozenset[tuple[str, int]]:
            """It has listed the branches, and not yet read what was decided about them."""
            monkeypatch.setattr(sleeper.journal, "alive", alive)
            assert other.recover() == 2
            assert other.purge(0) == 1
            return alive(owners)

        monkeypatch.setattr(sleeper.journal, "alive", sleep)
        assert sleeper.recover() == 0
        assert other.outcome("g-1") is None
        assert other.doubts() == []
    assert places.balances() == places.moved()


# --- what needs a person ------------------------------------------------------------------


@pytest.mark.parametrize("state", ["committing", "aborting"])
def test_a_branch_that_went_its_own_way_is_listed_for_ever(
    log_url: str, places: Places, state: str
) -> None:
    commits = state == "committing"
    gate = Gate(state, "Commit" if commits else "Rollback")
    told: list[Recovered] = []
    with coordinating(log_url, executor=gate) as coordinator:
        if commits:
            paying = Background(lambda: pay_once(coordinator, places))
        else:
            paying = Background(lambda: pay_and_be_refused(coordinator, places))
        eventually(gate.was_reached)
        # The operator does to one of them what was not decided.
        branch = (places.in_doubt())[0]
        by_hand(places, branch, not commits)
        gate.open = True
        with pytest.raises(HeuristicOutcome):
            paying.result()
    with coordinating(log_url, participants=places.urls, on_recovered=told.append) as later:
        later.recover()
        assert later.purge(0) == 0
        doubts = later.doubts()
        assert {doubt.verdict for doubt in doubts} == {"heuristic"}
        assert all(branch in doubt.evidence and doubt.gid == "g-1" for doubt in doubts)
        assert told == []


@pytest.mark.parametrize("state", ["committing", "aborting"])
def test_a_branch_that_went_its_own_way_is_settled_by_hand_and_forgotten_in_time(
    log_url: str, places: Places, state: str
) -> None:
    commits = state == "committing"
    gate = Gate(state, "Commit" if commits else "Rollback")
    with coordinating(log_url, executor=gate) as coordinator:
        if commits:
            paying = Background(lambda: pay_once(coordinator, places))
        else:
            paying = Background(lambda: pay_and_be_refused(coordinator, places))
        eventually(gate.was_reached)
        branch = (places.in_doubt())[0]
        by_hand(places, branch, not commits)
        gate.open = True
        with pytest.raises(HeuristicOutcome):
            paying.result()
    right, wrong = ("committed", "aborted") if commits else ("aborted", "committed")
    with coordinating(log_url) as blind:
        if commits:
            with pytest.raises(UsageError, match="name it in participants"):
                blind.settle_by_hand("g-1", right, "mended")
    with coordinating(log_url, participants=places.urls) as console:
        with pytest.raises(UsageError, match="that stands: bring its databases there"):
            console.settle_by_hand("g-1", wrong, "mended")
        with pytest.raises(UsageError, match="for a reason"):
            console.settle_by_hand("g-1", right, " ")
        console.settle_by_hand("g-1", right, "mended")
        assert console.doubts() == []
        assert console.outcome("g-1") == ("commit" if commits else "abort")
        decision = console.journal.decision("g-1")
        assert decision is not None
        assert branch in decision.evidence
        assert decision.evidence.endswith("by hand: mended")
        with pytest.raises(UsageError, match="no heuristic transaction"):
            console.settle_by_hand("g-1", right, "again")
        # Kept as long as any other.
        assert console.purge() == 0
        assert console.purge(0) == 1
        assert console.outcome("g-1") is None


def test_what_is_still_prepared_is_not_settled_by_hand(log_url: str, places: Places) -> None:
    """Forgotten, its decision would not cover it any more."""
    with coordinating(log_url, participants=places.urls) as console:
        branches = left_behind(console, places)
        decide(log_url, branches, places)
        tell(log_url, Finish("g-1", True, "seen by the test"))
        with pytest.raises(UsageError, match="still prepared"):
            console.settle_by_hand("g-1", "committed", "mended")
        assert {doubt.verdict for doubt in console.doubts()} == {"commit"}
        assert console.recover() == 2
        console.settle_by_hand("g-1", "committed", "mended")
        assert console.doubts() == []
    assert places.balances() == places.moved()


@pytest.mark.parametrize("number", [0, 1])
def test_a_branch_committed_by_hand_before_anything_was_decided_is_found(
    log_url: str, places: Places, number: int
) -> None:
    told: list[Recovered] = []
    gate = Gate("deciding", "WriteDecision")
    with (
        coordinating(log_url, executor=gate) as dead,
        coordinating(log_url, participants=places.urls, on_recovered=told.append) as other,
    ):
        paying = Background(lambda: pay_once(dead, places))
        eventually(gate.was_reached)
        branch = (places.in_doubt())[number]
        by_hand(places, branch, True)
        tell(log_url, CloseOwner(dead.ownership.owner, dead.ownership.epoch))
        assert other.recover() == 1
        assert {each.outcome for each in told} == {"heuristic", "abort"}
        # Nobody forgets it, and looking again finds nothing more.
        assert other.recover() == 0
        assert other.purge(0) == 0
        [doubt] = other.doubts()
        assert (doubt.gid, doubt.verdict) == ("g-1", "heuristic")
        assert f"{branch} has committed" in doubt.evidence
        gate.open = True
        with pytest.raises((HeuristicOutcome, TransactionAborted)):
            paying.result()
    assert places.in_doubt() == []


def pay_and_be_refused(coordinator: Coordinator, places: Places) -> None:
    with coordinator.transaction(*places.urls, gid="g-1") as connections:
        transfer(connections)
        # Whichever is prepared first, the other one refuses.
        by_resource = [place.resource() for place in coordinator.participants()]
        last = by_resource.index(max(by_resource))
        with pytest.raises(Exception, match="CREATE"):
            connections[last].execute("CREATE TABLE made_inside (id TEXT PRIMARY KEY)")


def by_hand(places: Places, branch: str, commit: bool) -> None:
    """Resolve a branch as an operator does."""
    answers = []
    for url in places.urls:
        participant = registry.participant(url)
        answers.append(participant.resolve(branch, commit))
        participant.close()
    assert sorted(answers) == ["done", "missing"]


def test_everything_unfinished_is_seen_however_much_there_is(log_url: str, places: Places) -> None:
    with coordinating(log_url, participants=places.urls) as coordinator:
        owner, epoch = coordinator.ownership.owner, coordinator.ownership.epoch
        gids = sorted(new_gid() for _ in range(700))
        ref = BranchRef(str(BranchId("cother22", owner, epoch, 0, "g")), "nowhere", "nowhere")
        for start in range(0, 700, 100):
            batch: list[LogOperation] = [
                Create(gid, "saga", "", "", owner, epoch)
                if number % 3
                else Decide(gid, "commit", owner, epoch, (ref,))
                for number, gid in enumerate(gids[start : start + 100])
            ]
            tell(log_url, *batch)
        listing = coordinator.journal.unfinished()
        found = [each.gid for each in (*listing.decisions, *listing.records)]
        assert sorted(found) == gids
