"""Sagas that somebody left unfinished: taken over, gone on with, or left alone and listed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from concordant import (
    AsyncCoordinator,
    AsyncSaga,
    AsyncStepContext,
    OutcomeUnknown,
    StepFailed,
    TransactionStuck,
    UsageError,
)
from concordant.aio.recovery import Recovered
from concordant.transactions.operations import (
    Advance,
    Claim,
    CloseOwner,
    Create,
    Listing,
    LogOperation,
    LogResult,
    OwnerAlive,
)
from concordant.transactions.saga import Act
from tests.provision.backend import Backend
from tests.provision.bridge import async_sleep
from tests.provision.sqlite import SQLITE
from tests.surface.aio.moving import (
    AMOUNT,
    BEFORE,
    MOVED,
    Banks,
    Trouble,
    coordinating,
    failing,
)
from tests.surface.together import async_eventually

# What the databases have to do with it is held by the barrier's contract, and by the tests of
# sagas that nobody leaves.
pytestmark = pytest.mark.parametrize("barrier_backend", [pytest.param(SQLITE, id="sqlite")])


@pytest.fixture
def banks(barrier_backend: Backend, tmp_path: Path) -> Banks:
    """Two banks with a little money in them."""
    return Banks(barrier_backend, tmp_path)


PAYLOAD = {"amount": AMOUNT}


async def leave(
    log_url: str, saga: AsyncSaga, state: str = "running", spared: int = 0, gid: str = "g-1"
) -> None:
    """Begin a saga and lose it where it is to be saved, as a process that dies does."""
    trouble = Trouble(state, "Save", "refused", spared=spared)
    async with coordinating(log_url, saga, executor=trouble) as coordinator:
        with pytest.raises(OutcomeUnknown):
            await coordinator.run(saga, PAYLOAD, gid=gid)
    assert trouble.hits == 1


async def test_what_a_dead_coordinator_left_is_brought_to_its_end(
    log_url: str, banks: Banks
) -> None:
    told: list[Recovered] = []
    await leave(log_url, banks.saga())
    assert banks.works == ["debit"]
    saga = banks.saga()
    async with coordinating(log_url, saga, on_recovered=told.append) as coordinator:
        assert await coordinator.sagas() == []
        outcome = await coordinator.run(saga, PAYLOAD, gid="g-1")
        assert (outcome.state, outcome.fresh) == ("committed", False)
        assert outcome.results == {"debit": 70, "credit": 80}
        assert await coordinator.recover() == 0
    assert [(each.gid, each.outcome) for each in told] == [("g-1", "commit")]
    assert banks.works == ["debit", "credit"]
    assert banks.balances() == MOVED


async def test_recovery_comes_by_itself_at_the_start_and_while_running(
    log_url: str, banks: Banks
) -> None:
    await leave(log_url, banks.saga(), gid="g-1")
    saga = banks.saga()
    async with coordinating(log_url, saga, recover_every_s=0.05) as coordinator:

        async def over() -> bool:
            return not await coordinator.sagas()

        await async_eventually(over)
        await leave(log_url, banks.saga(), gid="g-2")
        await async_eventually(over)
        for gid in ("g-1", "g-2"):
            assert (await coordinator.run(saga, PAYLOAD, gid=gid)).state == "committed"
    assert banks.balances() == (40, 110)


@pytest.mark.parametrize("lost", ["Create", "Save"])
@pytest.mark.parametrize("how", ["refused", "lost"])
async def test_what_this_process_lost_it_finds_again(
    log_url: str, banks: Banks, lost: str, how: Any
) -> None:
    saga = banks.saga()
    trouble = Trouble("new" if lost == "Create" else "running", lost, how)
    async with coordinating(log_url, saga, executor=trouble) as coordinator:
        with pytest.raises(OutcomeUnknown, match="g-1"):
            await coordinator.run(saga, PAYLOAD, gid="g-1")
        stored = (lost, how) != ("Create", "refused")
        assert await coordinator.recover() == int(stored)
        outcome = await coordinator.run(saga, PAYLOAD, gid="g-1")
        assert (outcome.state, outcome.fresh) == ("committed", not stored)
        assert await coordinator.recover() == 0
    assert trouble.hits == 1
    assert banks.works == ["debit", "credit"]
    assert banks.balances() == MOVED


@pytest.mark.parametrize("kind", [Create, Advance])
async def test_a_write_whose_reply_the_log_lost_is_known_again(
    log_url: str, banks: Banks, kind: type
) -> None:
    saga = banks.saga()
    async with coordinating(log_url, saga) as coordinator:
        combiner = coordinator.journal._combiner
        apply, lost = combiner._apply, []

        async def lossy(batch: Sequence[LogOperation]) -> list[LogResult]:
            answers = await apply(batch)
            if len(lost) < 9 and any(isinstance(each, kind) for each in batch):
                lost.append(batch)
                if len(lost) % 3:
                    raise OutcomeUnknown("lost by the test")
            return answers

        combiner._apply = lossy
        outcome = await coordinator.run(saga, PAYLOAD, gid="g-1")
        assert (outcome.state, outcome.fresh) == ("committed", True)
    assert len(lost) >= 3
    assert banks.calls == ["debit", "credit"]
    assert banks.balances() == MOVED


async def test_calling_again_goes_on_with_what_was_left(log_url: str, banks: Banks) -> None:
    saga = banks.saga()
    trouble = Trouble("running", "Save", "refused", times=2)
    async with coordinating(log_url, saga, executor=trouble) as coordinator:
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                await coordinator.run(saga, PAYLOAD, gid="g-1")
        outcome = await coordinator.run(saga, PAYLOAD, gid="g-1")
        assert (outcome.state, outcome.fresh) == ("committed", False)
    assert banks.balances() == MOVED
    assert banks.works == ["debit", "credit"]


async def test_a_claim_whose_answer_was_lost_strands_nothing(log_url: str, banks: Banks) -> None:
    await leave(log_url, banks.saga())
    saga = banks.saga()
    trouble = Trouble("left", "Claim", "lost")
    async with coordinating(log_url, saga, executor=trouble) as coordinator:
        assert trouble.hits == 1
        assert len(await coordinator.sagas()) == 1
        assert await coordinator.recover() == 1
    assert banks.balances() == MOVED


async def test_once_it_goes_back_a_rerun_only_compensates(log_url: str, banks: Banks) -> None:
    # The refused action would succeed by now; that must not matter any more.
    banks.before["credit"] = failing(1, StepFailed)
    await leave(log_url, banks.saga(), "aborting", spared=1)
    assert banks.calls == ["debit", "credit", "uncredit"]
    calls = len(banks.calls)
    saga = banks.saga()
    async with coordinating(log_url, saga) as coordinator:
        assert await coordinator.sagas() == []
        outcome = await coordinator.run(saga, PAYLOAD, gid="g-1")
    assert (outcome.state, outcome.reason) == ("aborted", "credit: broken by the test")
    assert set(banks.calls[calls:]) == {"uncredit", "undebit"}
    assert banks.balances() == BEFORE


async def test_a_refusal_before_it_was_saved_is_given_again(log_url: str, banks: Banks) -> None:
    # The verdict is in the database, so the action says no though nothing breaks any more.
    banks.inside["credit"] = failing(1, StepFailed)
    await leave(log_url, banks.saga(), "aborting")
    saga = banks.saga()
    async with coordinating(log_url, saga) as coordinator:
        assert await coordinator.sagas() == []
        outcome = await coordinator.run(saga, PAYLOAD, gid="g-1")
    assert (outcome.state, outcome.reason) == ("aborted", "credit: broken by the test")
    assert banks.balances() == BEFORE


async def test_recovery_does_not_wait_for_a_pause(log_url: str, banks: Banks) -> None:
    await leave(log_url, banks.saga())
    banks.inside["credit"] = failing(1)
    saga = banks.saga(pause_s=0.3)
    async with coordinating(log_url, saga) as coordinator:
        assert banks.calls.count("credit") == 1
        [listed] = await coordinator.sagas()
        assert 0 < listed.due_in_s <= 0.3
        assert "broken by the test" in listed.evidence
        assert await coordinator.recover() == 0
        assert banks.calls.count("credit") == 1
        await async_sleep(0.35)
        assert await coordinator.recover() == 1
    assert banks.balances() == MOVED


async def test_calling_takes_over_what_recovery_has_put_aside(log_url: str, banks: Banks) -> None:
    await leave(log_url, banks.saga())
    banks.inside["credit"] = failing(1)
    saga = banks.saga(pause_s=60.0)
    async with coordinating(log_url, saga) as coordinator:
        assert banks.calls.count("credit") == 1
        assert (await coordinator.run(saga, PAYLOAD, gid="g-1")).state == "committed"
        assert await coordinator.recover() == 0
    assert banks.works == ["debit", "credit"]


async def test_a_saga_that_kills_whoever_runs_it_is_not_run_for_ever(
    log_url: str, banks: Banks
) -> None:
    # Each process dies in the same action, which is never seen to fail.
    for _ in range(3):
        saga = banks.saga()
        async with coordinating(log_url) as coordinator:
            coordinator.executor = Dying()
            coordinator.register(saga)
            with pytest.raises(Died):
                await coordinator.run(saga, PAYLOAD, gid="g-1")
    saga = banks.saga()
    async with coordinating(log_url, saga) as coordinator:
        assert await coordinator.sagas() == []
        outcome = await coordinator.run(saga, PAYLOAD, gid="g-1")
    assert outcome.state == "aborted"
    assert "3 attempts failed" in outcome.reason
    assert banks.balances() == BEFORE


class Died(BaseException):
    """What a process that dies does to the code that runs in it."""


class Dying:
    """An executor that dies at the action of the second step."""

    async def __call__(self, machine: str, state: str, command: Any, action: Any) -> Any:
        """Run the action, unless it is the one to die of."""
        if isinstance(command, Act) and command.index == 1:
            raise Died
        return await action()


# --- definitions --------------------------------------------------------------------------


async def test_what_is_not_registered_is_listed_and_left_alone(log_url: str, banks: Banks) -> None:
    await leave(log_url, banks.saga(1))
    calls = list(banks.calls)
    newer, nothing = banks.saga(2), "no saga transfer/1 is registered here"
    async with coordinating(log_url, newer) as coordinator:
        assert await coordinator.recover() == 0
        [listed] = await coordinator.sagas()
        assert (listed.gid, listed.state, listed.alive) == ("g-1", "running", False)
        assert f"{nothing}, only transfer/2: left alone" in listed.evidence
    async with coordinating(log_url) as coordinator:
        assert await coordinator.recover() == 0
        [listed] = await coordinator.sagas()
        assert f"{nothing}: left alone" in listed.evidence
    assert banks.calls == calls
    saga = banks.saga(1)
    async with coordinating(log_url, saga) as coordinator:
        assert (await coordinator.run(saga, PAYLOAD, gid="g-1")).state == "committed"


async def test_a_definition_that_was_changed_is_not_run(log_url: str, banks: Banks) -> None:
    await leave(log_url, banks.saga())
    calls = list(banks.calls)
    changed = AsyncSaga("transfer", 1)
    for step in reversed(banks.saga().steps):
        changed.step(step.name, step.action, step.compensation)
    async with coordinating(log_url, changed) as coordinator:
        with pytest.raises(TransactionStuck, match="begun with the steps debit, credit"):
            await coordinator.run(changed, PAYLOAD, gid="g-1")
        [listed] = await coordinator.sagas()
        assert listed.state == "stuck"
    assert banks.calls == calls
    saga = banks.saga()
    async with coordinating(log_url, saga) as coordinator:
        await coordinator.retry("g-1")
        assert await coordinator.recover() == 1
        assert (await coordinator.run(saga, PAYLOAD, gid="g-1")).state == "committed"
    assert banks.balances() == MOVED


@pytest.mark.parametrize("taken", ["by recovery", "by a call"])
async def test_what_a_newer_version_stored_is_kept_for_it(
    log_url: str, banks: Banks, taken: str
) -> None:
    await leave(log_url, banks.saga(), "running", spared=0)
    async with coordinating(log_url) as coordinator:
        journal = coordinator.journal
        owner = coordinator.ownership
        claim = Claim(owner.owner, owner.epoch, gids=("g-1",))
        [record] = (await journal.ask(claim, Listing)).records
        newer = '{"format":2,"way":"forward","what":"nobody here knows"}'
        pair = (owner.owner, owner.epoch)
        await journal.advance(Advance("g-1", record.version, *pair, "running", newer))
    calls = list(banks.calls)
    saga, other = banks.saga(), banks.saga(2)
    async with coordinating(log_url, other) as coordinator:
        # The pass at the start is over, so there is none beside the one that is told.
        coordinator.register(saga)
        if taken == "by a call":
            with pytest.raises(UsageError, match="upgrade"):
                await coordinator.run(saga, PAYLOAD, gid="g-1")
            [listed] = await coordinator.sagas()
            assert (listed.state, listed.alive) == ("running", False)
        else:
            await coordinator.recover()
            [listed] = await coordinator.sagas()
            assert listed.state == "stuck"
            assert "upgrade" in listed.evidence
        [record] = (await coordinator.journal.unfinished()).records
        assert record.data == newer
    assert banks.calls == calls


# --- epochs -------------------------------------------------------------------------------


async def lapse(coordinator: AsyncCoordinator) -> None:
    """Let the coordinator be taken for dead."""
    owner = coordinator.ownership
    await coordinator.journal.ask(CloseOwner(owner.owner, owner.epoch), OwnerAlive)


async def test_who_was_taken_for_dead_stops_and_another_goes_on(log_url: str, banks: Banks) -> None:
    saga, other = banks.saga(), banks.saga()
    async with coordinating(log_url, saga) as one, coordinating(log_url, other) as another:

        async def overtaken(ctx: AsyncStepContext) -> None:
            del banks.after["debit"]
            await lapse(one)
            assert await another.recover() == 1

        banks.after["debit"] = overtaken
        with pytest.raises(OutcomeUnknown, match="somebody else has it"):
            await one.run(saga, PAYLOAD, gid="g-1")
        assert (await another.run(other, PAYLOAD, gid="g-1")).state == "committed"
    # The zombie has done nothing after its own debit.
    assert banks.works == ["debit", "credit"]
    assert banks.balances() == MOVED


async def test_a_late_action_is_refused_and_never_counts_as_done(
    log_url: str, banks: Banks
) -> None:
    saga, other = banks.saga(attempts_max=1), banks.saga(attempts_max=1)
    async with coordinating(log_url, saga) as one, coordinating(log_url, other) as another:

        async def overtaken(ctx: AsyncStepContext) -> None:
            # With no attempts left, whoever takes over goes back, this very action included.
            del banks.before["credit"]
            await lapse(one)
            assert await another.recover() == 1
            assert banks.balances() == BEFORE

        banks.before["credit"] = overtaken
        with pytest.raises(OutcomeUnknown):
            await one.run(saga, PAYLOAD, gid="g-1")
        assert (await another.run(other, PAYLOAD, gid="g-1")).state == "aborted"
    assert banks.works == ["debit", "undebit"]
    assert banks.balances() == BEFORE


async def test_under_its_next_epoch_a_process_goes_on_with_its_own(
    log_url: str, banks: Banks
) -> None:
    saga = banks.saga()
    async with coordinating(log_url, saga, owner_ttl_s=0.3) as coordinator:

        async def lapsed(ctx: AsyncStepContext) -> None:
            del banks.after["debit"]
            epoch = coordinator.ownership.epoch
            await lapse(coordinator)

            async def back() -> bool:
                return coordinator.ownership.epoch > epoch

            await async_eventually(back)

        banks.after["debit"] = lapsed
        with pytest.raises(OutcomeUnknown):
            await coordinator.run(saga, PAYLOAD, gid="g-1")
        assert await coordinator.recover() == 1
    assert banks.works == ["debit", "credit"]
    assert banks.balances() == MOVED


async def test_one_that_slept_through_the_end_and_its_purge_begins_nothing(
    log_url: str, banks: Banks
) -> None:
    """It asks for the second time, since the reply to its first request was lost."""
    saga, other = banks.saga(), banks.saga()

    async def sleep(
        machine: str, state: str, command: object, action: Callable[[], Awaitable[Any]]
    ) -> Any:
        if isinstance(command, Create):
            await action()
            await lapse(one)
            assert await another.recover() == 1
            assert await another.purge(0) == 1
        return await action()

    async with (
        coordinating(log_url, other) as another,
        coordinating(log_url, saga, executor=sleep) as one,
    ):
        with pytest.raises(OutcomeUnknown, match="g-1 is stored is not known"):
            await one.run(saga, PAYLOAD, gid="g-1")
        assert await another.sagas() == []
        assert await one.recover() == 0
    assert banks.calls == ["debit", "credit"]
    assert banks.balances() == MOVED


# --- people -------------------------------------------------------------------------------


async def test_what_nobody_runs_can_be_settled_by_hand(log_url: str, banks: Banks) -> None:
    await leave(log_url, banks.saga())
    async with coordinating(log_url) as coordinator:
        await coordinator.settle_by_hand("g-1", "aborted", "the debit was given back in cash")
        assert await coordinator.sagas() == []
    saga = banks.saga()
    async with coordinating(log_url, saga) as coordinator:
        assert await coordinator.recover() == 0
        outcome = await coordinator.run(saga, PAYLOAD, gid="g-1")
        assert outcome.state == "aborted"
        assert "given back in cash" in outcome.reason
    assert banks.calls == ["debit"]


async def test_retrying_elsewhere_gives_it_to_who_has_registered_it(
    log_url: str, banks: Banks
) -> None:
    saga = banks.saga()
    banks.before["credit"] = failing(error=StepFailed)
    banks.inside["undebit"] = failing(3)
    async with coordinating(log_url, saga) as coordinator:
        with pytest.raises(TransactionStuck):
            await coordinator.run(saga, PAYLOAD, gid="g-1")
        async with coordinating(log_url) as console:
            await console.retry("g-1")
            # The one who did it stays, and has nothing of it.
            assert await coordinator.recover() == 1
        assert (await coordinator.run(saga, PAYLOAD, gid="g-1")).state == "aborted"
    assert banks.balances() == BEFORE


async def test_a_coordinator_that_is_left_is_of_no_more_use(log_url: str, banks: Banks) -> None:
    saga = banks.saga()
    async with coordinating(log_url, saga) as coordinator:
        pass
    for call in (
        partial(coordinator.run, saga, PAYLOAD),
        coordinator.sagas,
        partial(coordinator.retry, "g-1"),
        partial(coordinator.settle_by_hand, "g-1", "aborted", "x"),
        coordinator.recover,
    ):
        with pytest.raises(UsageError, match="enter the coordinator"):
            await call()
