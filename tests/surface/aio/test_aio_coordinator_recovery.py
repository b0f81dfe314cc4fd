"""Recovery by a coordinator: what it settles, what it only lists, and what it leaves alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from concordant import (
    AsyncCoordinator,
    HeuristicOutcome,
    OutcomeUnknown,
    TransactionAborted,
    UsageError,
)
from concordant.aio.recovery import Recovered
from concordant.drivers import registry
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
from tests.surface.aio.moving import coordinating
from tests.surface.aio.paying import BEFORE, Gate, Places, async_severed, transfer
from tests.surface.together import AsyncBackground, async_eventually

pytestmark = pytest.mark.parametrize("log_backend", [pytest.param(MEMORY, id="memory")])


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Two databases."""
    return Places(tmp_path)


async def left_behind(
    coordinator: AsyncCoordinator, places: Places, gid: str = "g-1", owner: str = ""
) -> list[str]:
    """Leave both branches of a transfer prepared, by a coordinator that is dead."""
    log_id, owner = coordinator.ownership.log_id, owner or new_owner()
    return [
        await places.prepare(number, BranchId(log_id, owner, 1, number, gid), amount)
        for number, amount in enumerate((-10, 10))
    ]


async def decide(log_url: str, branches: list[str], places: Places, gid: str = "g-1") -> None:
    """Put the decision to commit them into the log, as their dead coordinator has."""
    parsed = BranchId.parse(branches[0])
    assert parsed is not None
    refs = []
    for url, branch in zip(places.urls, branches, strict=True):
        participant = registry.async_participant(url)
        refs.append(BranchRef(branch, await participant.resource(), participant.place))
        await participant.aclose()
    dead = (parsed.owner, parsed.epoch)
    await tell(
        log_url,
        OpenOwner(parsed.owner, 60_000),
        Decide(gid, "commit", *dead, tuple(refs)),
        CloseOwner(*dead),
    )


async def tell(log_url: str, *batch: LogOperation) -> None:
    """Apply operations to the log."""
    log = registry.async_transaction_log(log_url)
    await log.apply(list(batch))
    await log.aclose()


# --- what it settles ----------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["commit", "abort"])
async def test_what_a_dead_coordinator_left_comes_to_one_outcome_and_is_told(
    log_url: str, places: Places, outcome: str
) -> None:
    told: list[Recovered] = []
    async with coordinating(
        log_url, participants=places.urls, on_recovered=told.append
    ) as coordinator:
        owner = new_owner()
        branches = await left_behind(coordinator, places, owner=owner)
        if outcome == "commit":
            await decide(log_url, branches, places)
        doubts = await coordinator.doubts()
        expected = "undecided" if outcome == "abort" else "commit"
        assert [(each.gid, each.branch, each.verdict) for each in doubts] == [
            ("g-1", branch, expected) for branch in branches
        ]
        assert {each.owner for each in doubts} == {f"{owner}-1"}
        assert await coordinator.recover() == 2
        assert [(each.branch, each.outcome, each.owner) for each in told] == [
            (branch, outcome, owner) for branch in branches
        ]
        assert await coordinator.doubts() == []
        assert await coordinator.recover() == 0
        assert await coordinator.outcome("g-1") == outcome
        assert await coordinator.purge(0) == 1
    assert places.balances() == (places.moved() if outcome == "commit" else [BEFORE, BEFORE])


async def test_it_recovers_at_the_start_and_by_itself(log_url: str, places: Places) -> None:
    async with coordinating(log_url) as other:
        await left_behind(other, places, "g-1")
        async with coordinating(log_url, participants=places.urls, recover_every_s=0.05):
            assert await places.in_doubt() == []
            await left_behind(other, places, "g-2")

            async def nothing_left() -> bool:
                return await places.in_doubt() == []

            await async_eventually(nothing_left)
    assert places.balances() == [BEFORE, BEFORE]


async def test_a_callback_that_raises_does_not_stop_it(log_url: str, places: Places) -> None:
    def complain(recovered: Recovered) -> None:
        raise RuntimeError("broken by the test")

    async with coordinating(
        log_url, participants=places.urls, on_recovered=complain
    ) as coordinator:
        branches = await left_behind(coordinator, places, "g-1")
        await decide(log_url, branches, places, "g-1")
        for _ in range(2):
            await coordinator.recover()
        assert await coordinator.doubts() == []
    assert places.balances() == places.moved()


async def test_a_place_that_is_gone_does_not_keep_the_others(
    log_url: str, places: Places, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = f"sqlite://{tmp_path}/no-such-folder/x.db"
    async with coordinating(log_url, participants=[nowhere, *places.urls]) as coordinator:
        await left_behind(coordinator, places)
        with caplog.at_level(logging.WARNING):
            assert await coordinator.recover() == 2
        assert "no-such-folder" in caplog.text
    assert await places.in_doubt() == []


async def test_a_late_branch_of_a_transaction_that_was_decided_is_rolled_back(
    log_url: str, places: Places
) -> None:
    async with coordinating(log_url, participants=places.urls) as coordinator:
        async with coordinator.transaction(*places.urls, gid="g-1") as connections:
            await transfer(connections)
        # Of another attempt under the same gid: the decision does not name it.
        await left_behind(coordinator, places, "g-1")
        assert await coordinator.recover() == 2
    assert places.balances() == places.moved()
    assert await places.in_doubt() == []


# --- what it leaves alone -----------------------------------------------------------------


async def test_foreign_branches_are_listed_and_never_touched(log_url: str, places: Places) -> None:
    async with coordinating(log_url, participants=places.urls) as coordinator:
        foreign = [
            # Of another log, and of somebody who is none of us.
            await places.prepare(0, BranchId("cother22", new_owner(), 1, 0, "g-1"), -10),
            await places.prepare(1, BranchId("somebody", "else", 1, 0, "g-1"), 10),
        ]
        # A decision of this log for the same gid is none for them.
        await tell(log_url, Decide("g-1", "abort", new_owner(), 1))
        assert await coordinator.recover() == 0
        doubts = await coordinator.doubts()
        assert [(doubt.branch, doubt.verdict) for doubt in doubts] == [
            (branch, "foreign") for branch in foreign
        ]
        assert all(doubt.age_s >= 0 and doubt.place and doubt.evidence for doubt in doubts)
        assert await places.in_doubt() == foreign


async def test_the_living_are_left_alone(log_url: str, places: Places) -> None:
    gate = Gate("deciding", "WriteDecision")
    async with (
        coordinating(log_url, executor=gate, recover_every_s=0.02) as busy,
        coordinating(log_url, participants=places.urls) as other,
    ):

        async def pay() -> None:
            async with busy.transaction(*places.urls, gid="g-1") as connections:
                await transfer(connections)

        paying = AsyncBackground(pay)
        await async_eventually(gate.was_reached)
        for coordinator in (busy, other):
            assert await coordinator.recover() == 0
            assert {doubt.verdict for doubt in await coordinator.doubts()} == {"live"}
        assert len(await places.in_doubt()) == 2
        gate.open = True
        await paying.result()
    assert places.balances() == places.moved()


# --- outcomes that nobody knows yet -------------------------------------------------------


@pytest.mark.parametrize("applied", [True, False])
async def test_a_log_that_does_not_answer_leaves_the_outcome_to_recovery(
    log_url: str, places: Places, applied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("concordant.aio.journal._PAUSES_S", (0.01, 0.01))
    with async_severed(applied, times=3):
        async with coordinating(log_url) as coordinator:
            with pytest.raises(OutcomeUnknown, match="g-1"):
                await pay_once(coordinator, places)
            assert len(await places.in_doubt()) == 2
            # The same process knows that nobody works on it any more.
            assert await coordinator.recover() == 2
            assert await coordinator.outcome("g-1") == ("commit" if applied else "abort")
    assert places.balances() == (places.moved() if applied else [BEFORE, BEFORE])


@pytest.mark.parametrize("applied", [True, False])
async def test_a_log_that_answers_when_asked_again_is_no_trouble(
    log_url: str, places: Places, applied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("concordant.aio.journal._PAUSES_S", (0.01, 0.01))
    with async_severed(applied, times=2):
        async with coordinating(log_url) as coordinator:
            await pay_once(coordinator, places)
            assert await coordinator.outcome("g-1") == "commit"
    assert places.balances() == places.moved()


async def pay_once(coordinator: AsyncCoordinator, places: Places) -> None:
    async with coordinator.transaction(*places.urls, gid="g-1") as connections:
        await transfer(connections)


async def test_one_that_slept_through_an_abort_and_its_purge_commits_nothing(
    log_url: str, places: Places
) -> None:
    gate = Gate("deciding", "WriteDecision")
    async with (
        coordinating(log_url, executor=gate) as sleeper,
        coordinating(log_url, participants=places.urls) as other,
    ):
        paying = AsyncBackground(lambda: pay_once(sleeper, places))
        await async_eventually(gate.was_reached)
        await tell(log_url, CloseOwner(sleeper.ownership.owner, sleeper.ownership.epoch))
        assert await other.recover() == 2
        assert await other.outcome("g-1") == "abort"
        assert await other.purge(0) == 1
        gate.open = True
        with pytest.raises((OutcomeUnknown, TransactionAborted), match="g-1"):
            await paying.result()
        assert await other.outcome("g-1") is None
        assert await other.doubts() == []
    assert places.balances() == [BEFORE, BEFORE]


async def test_a_recoverer_that_slept_through_a_commit_and_its_purge_aborts_nothing(
    log_url: str, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        coordinating(log_url, participants=places.urls) as sleeper,
        coordinating(log_url, participants=places.urls) as other,
    ):
        await decide(log_url, await left_behind(other, places), places)
        alive = sleeper.journal.alive

        async def sleep(owners: Sequence[tuple[str, int]]) -> frozenset[tuple[str, int]]:
            """It has listed the branches, and not yet read what was decided about them."""
            monkeypatch.setattr(sleeper.journal, "alive", alive)
            assert await other.recover() == 2
            assert await other.purge(0) == 1
            return await alive(owners)

        monkeypatch.setattr(sleeper.journal, "alive", sleep)
        assert await sleeper.recover() == 0
        assert await other.outcome("g-1") is None
        assert await other.doubts() == []
    assert places.balances() == places.moved()


# --- what needs a person ------------------------------------------------------------------


@pytest.mark.parametrize("state", ["committing", "aborting"])
async def test_a_branch_that_went_its_own_way_is_listed_for_ever(
    log_url: str, places: Places, state: str
) -> None:
    commits = state == "committing"
    gate = Gate(state, "Commit" if commits else "Rollback")
    told: list[Recovered] = []
    async with coordinating(log_url, executor=gate) as coordinator:
        if commits:
            paying = AsyncBackground(lambda: pay_once(coordinator, places))
        else:
            paying = AsyncBackground(lambda: pay_and_be_refused(coordinator, places))
        await async_eventually(gate.was_reached)
        # The operator does to one of them what was not decided.
        branch = (await places.in_doubt())[0]
        await by_hand(places, branch, not commits)
        gate.open = True
        with pytest.raises(HeuristicOutcome):
            await paying.result()
    async with coordinating(log_url, participants=places.urls, on_recovered=told.append) as later:
        await later.recover()
        assert await later.purge(0) == 0
        doubts = await later.doubts()
        assert {doubt.verdict for doubt in doubts} == {"heuristic"}
        assert all(branch in doubt.evidence and doubt.gid == "g-1" for doubt in doubts)
        assert told == []


@pytest.mark.parametrize("state", ["committing", "aborting"])
async def test_a_branch_that_went_its_own_way_is_settled_by_hand_and_forgotten_in_time(
    log_url: str, places: Places, state: str
) -> None:
    commits = state == "committing"
    gate = Gate(state, "Commit" if commits else "Rollback")
    async with coordinating(log_url, executor=gate) as coordinator:
        if commits:
            paying = AsyncBackground(lambda: pay_once(coordinator, places))
        else:
            paying = AsyncBackground(lambda: pay_and_be_refused(coordinator, places))
        await async_eventually(gate.was_reached)
        branch = (await places.in_doubt())[0]
        await by_hand(places, branch, not commits)
        gate.open = True
        with pytest.raises(HeuristicOutcome):
            await paying.result()
    right, wrong = ("committed", "aborted") if commits else ("aborted", "committed")
    async with coordinating(log_url) as blind:
        if commits:
            with pytest.raises(UsageError, match="name it in participants"):
                await blind.settle_by_hand("g-1", right, "mended")
    async with coordinating(log_url, participants=places.urls) as console:
        with pytest.raises(UsageError, match="that stands: bring its databases there"):
            await console.settle_by_hand("g-1", wrong, "mended")
        with pytest.raises(UsageError, match="for a reason"):
            await console.settle_by_hand("g-1", right, " ")
        await console.settle_by_hand("g-1", right, "mended")
        assert await console.doubts() == []
        assert await console.outcome("g-1") == ("commit" if commits else "abort")
        decision = await console.journal.decision("g-1")
        assert decision is not None
        assert branch in decision.evidence
        assert decision.evidence.endswith("by hand: mended")
        with pytest.raises(UsageError, match="no heuristic transaction"):
            await console.settle_by_hand("g-1", right, "again")
        # Kept as long as any other.
        assert await console.purge() == 0
        assert await console.purge(0) == 1
        assert await console.outcome("g-1") is None


async def test_what_is_still_prepared_is_not_settled_by_hand(log_url: str, places: Places) -> None:
    """Forgotten, its decision would not cover it any more."""
    async with coordinating(log_url, participants=places.urls) as console:
        branches = await left_behind(console, places)
        await decide(log_url, branches, places)
        await tell(log_url, Finish("g-1", True, "seen by the test"))
        with pytest.raises(UsageError, match="still prepared"):
            await console.settle_by_hand("g-1", "committed", "mended")
        assert {doubt.verdict for doubt in await console.doubts()} == {"commit"}
        assert await console.recover() == 2
        await console.settle_by_hand("g-1", "committed", "mended")
        assert await console.doubts() == []
    assert places.balances() == places.moved()


@pytest.mark.parametrize("number", [0, 1])
async def test_a_branch_committed_by_hand_before_anything_was_decided_is_found(
    log_url: str, places: Places, number: int
) -> None:
    told: list[Recovered] = []
    gate = Gate("deciding", "WriteDecision")
    async with (
        coordinating(log_url, executor=gate) as dead,
        coordinating(log_url, participants=places.urls, on_recovered=told.append) as other,
    ):
        paying = AsyncBackground(lambda: pay_once(dead, places))
        await async_eventually(gate.was_reached)
        branch = (await places.in_doubt())[number]
        await by_hand(places, branch, True)
        await tell(log_url, CloseOwner(dead.ownership.owner, dead.ownership.epoch))
        assert await other.recover() == 1
        assert {each.outcome for each in told} == {"heuristic", "abort"}
        # Nobody forgets it, and looking again finds nothing more.
        assert await other.recover() == 0
        assert await other.purge(0) == 0
        [doubt] = await other.doubts()
        assert (doubt.gid, doubt.verdict) == ("g-1", "heuristic")
        assert f"{branch} has committed" in doubt.evidence
        gate.open = True
        with pytest.raises((HeuristicOutcome, TransactionAborted)):
            await paying.result()
    assert await places.in_doubt() == []


async def pay_and_be_refused(coordinator: AsyncCoordinator, places: Places) -> None:
    async with coordinator.transaction(*places.urls, gid="g-1") as connections:
        await transfer(connections)
        # Whichever is prepared first, the other one refuses.
        by_resource = [await place.resource() for place in coordinator.participants()]
        last = by_resource.index(max(by_resource))
        with pytest.raises(Exception, match="CREATE"):
            await connections[last].execute("CREATE TABLE made_inside (id TEXT PRIMARY KEY)")


async def by_hand(places: Places, branch: str, commit: bool) -> None:
    """Resolve a branch as an operator does."""
    answers = []
    for url in places.urls:
        participant = registry.async_participant(url)
        answers.append(await participant.resolve(branch, commit))
        await participant.aclose()
    assert sorted(answers) == ["done", "missing"]


async def test_everything_unfinished_is_seen_however_much_there_is(
    log_url: str, places: Places
) -> None:
    async with coordinating(log_url, participants=places.urls) as coordinator:
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
            await tell(log_url, *batch)
        listing = await coordinator.journal.unfinished()
        found = [each.gid for each in (*listing.decisions, *listing.records)]
        assert sorted(found) == gids
