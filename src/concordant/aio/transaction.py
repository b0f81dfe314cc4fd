"""One global transaction under way: the shell around the two-phase machine."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from concordant._bridge.aio import Trace, pause, settle
from concordant.drivers.base import AsyncBranch, AsyncParticipant, Resolution, Vote
from concordant.errors import (
    AlreadyDecided,
    ConcordantError,
    HeuristicOutcome,
    OutcomeUnknown,
    TransactionAborted,
    UsageError,
)
from concordant.transactions.names import BranchId
from concordant.transactions.operations import BranchRef, Decide, Finish, Finished, Outcome
from concordant.transactions.twophase import (
    Abandon,
    Abandoned,
    Ask,
    BodyDone,
    BodyFailed,
    Command,
    Commit,
    CommitOnePhase,
    Decided,
    DecisionUnknown,
    Event,
    OnePhase,
    Prepare,
    Resolved,
    Rollback,
    Tell,
    TwoPhase,
    Unreached,
    Voted,
    VoteUnknown,
    WriteDecision,
    WriteFinish,
    step,
)

if TYPE_CHECKING:
    from concordant.aio.coordinator import AsyncCoordinator

_log = logging.getLogger("concordant.transactions")

# A branch that does not answer in phase two is told again so often; then recovery does it.
_PAUSES_S: Final = (0.02, 0.1, 0.5)


class AsyncTransaction:
    """Work on several databases that commits everywhere or nowhere.

    Entering gives one connection a participant, in the order they were named; leaving the
    body commits, an exception in it rolls back. Raises TransactionAborted if nothing
    happened, OutcomeUnknown if the log did not answer (recovery settles it; ask
    `coordinator.outcome(gid)`), HeuristicOutcome if a participant went its own way. When it
    returns normally, the decision to commit is durable, and every participant that could be
    reached has committed.
    """

    def __init__(
        self,
        coordinator: AsyncCoordinator,
        participants: Sequence[AsyncParticipant],
        gid: str,
        named: bool,
    ) -> None:
        self.gid = gid
        self._named = named
        self._coordinator = coordinator
        self._participants = participants
        self._branches: list[AsyncBranch] = []
        self._refs: list[BranchRef] = []
        self._places: list[AsyncParticipant] = []
        self._machine = TwoPhase.begun(0)
        self._epoch = 0
        self._cause: Exception | None = None
        self._reason = ""
        self._decided_elsewhere = ""
        self._outcome: Outcome = "abort"

    @property
    def state(self) -> str:
        """Where the machine stands, in the words of transactions/twophase.py."""
        return self._machine.state

    async def __aenter__(self) -> tuple[Any, ...]:
        if self._epoch:
            raise UsageError("a transaction is entered once; ask the coordinator for another")
        try:
            await self._coordinator._enter(self, self._named)
            return await self._begin()
        except BaseException:
            await settle(self._give_up)
            raise

    async def _begin(self) -> tuple[Any, ...]:
        ownership = self._coordinator.ownership
        self._epoch = ownership.epoch
        resources = [await each.resource() for each in self._participants]
        if len(set(resources)) != len(resources):
            places = ", ".join(each.place for each in self._participants)
            raise UsageError(f"two of these are one and the same database: {places}")
        # One canonical order for everybody, since a branch may hold its database from here.
        order = sorted(range(len(resources)), key=lambda i: resources[i])
        by_position: dict[int, AsyncBranch] = {}
        for index, position in enumerate(order):
            participant = self._participants[position]
            branch_id = BranchId(ownership.log_id, ownership.owner, self._epoch, index, self.gid)
            self._places.append(participant)
            self._refs.append(BranchRef(str(branch_id), resources[position], participant.place))
            # In one expression, so that no KeyboardInterrupt comes between the two.
            self._branches.append(await participant.begin(branch_id))
            by_position[position] = self._branches[-1]
        self._machine = TwoPhase.begun(len(self._branches))
        return tuple(by_position[i].connection for i in range(len(self._participants)))

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: Trace
    ) -> None:
        try:
            done = BodyDone(recorded=self._named)
            await settle(self._drive, done if exc is None else BodyFailed())
            if self._machine.state == "unknown":
                # What is prepared stays so; the connections are needed no more.
                for branch in self._branches:
                    await branch.abandon()
            self._coordinator._leave(self)
        except BaseException:
            await settle(self._give_up)
            raise
        failure = self._failure()
        if failure is None:
            return
        if exc is None:
            raise failure from self._cause
        if not isinstance(failure, TransactionAborted):
            _log.error("%s", failure)

    def _failure(self) -> ConcordantError | None:
        match self._machine.state:
            case "committed":
                return None
            case "aborted" if self._decided_elsewhere:
                return AlreadyDecided(
                    f"the gid {self.gid} was decided ({self._decided_elsewhere}) by another "
                    "attempt; this one was rolled back",
                    self._decided_elsewhere,
                )
            case "aborted":
                return TransactionAborted(f"{self.gid} was rolled back: {self._reason}")
            case "heuristic":
                return HeuristicOutcome(
                    f"{self.gid}: a participant did otherwise than decided; "
                    "see `concordant tx show`"
                )
            case _:
                return OutcomeUnknown(
                    f"the outcome of {self.gid} is not known: {self._reason}; recovery will "
                    "settle it, ask coordinator.outcome(gid)"
                )

    # --- running the machine --------------------------------------------------------------

    async def _drive(self, event: Event) -> None:
        events: deque[Event] = deque([event])
        while events:
            self._machine, commands = step(self._machine, events.popleft())
            for command in commands:
                follow = await self._run(command)
                if follow is not None:
                    events.append(follow)

    async def _run(self, command: Command) -> Event | None:
        match command:
            case Ask(index):
                await self._ahead(command, self._branches[index].ask)
            case Prepare(index):
                return await self._prepare(index, command)
            case WriteDecision():
                return await self._decide(command)
            case Tell(index):
                await self._ahead(command, self._branches[index].tell)
            case Commit(index):
                return await self._resolve(index, command, commit=True)
            case Rollback(index):
                return await self._resolve(index, command, commit=False)
            case Abandon(index):
                await self._execute(command, self._branches[index].abandon)
                return Abandoned(index)
            case CommitOnePhase(index):
                return await self._commit_one_phase(index, command)
            case WriteFinish():
                await self._finish(command)
        return None

    async def _execute(self, command: Command, action: Any) -> Any:
        return await self._coordinator.executor("two-phase", self._machine.state, command, action)

    async def _ahead(self, command: Command, action: Any) -> None:
        try:
            await self._execute(command, action)
        except Exception as error:
            # The command that it runs ahead of comes to know it, and what to do.
            _log.debug("%s of %s: %s", command, self.gid, error)

    def _note(self, what: str, error: Exception) -> None:
        if not self._reason:
            self._reason, self._cause = f"{what}: {error}", error

    async def _prepare(self, index: int, command: Prepare) -> Event:
        try:
            vote: Vote = await self._execute(command, self._branches[index].prepare)
        except Exception as error:
            self._note(f"no vote from {self._refs[index].place}", error)
            # If it never left here, the branch still holds what the rollback needs.
            await self._branches[index].abandon()
            return VoteUnknown(index)
        if vote.kind == "refused":
            self._reason = f"{self._refs[index].place} refused to prepare: {vote.reason}"
        return Voted(index, vote.kind)

    async def _decide(self, command: WriteDecision) -> Event:
        refs = tuple(self._refs[index] for index in self._machine.having("prepared"))
        owner = self._coordinator.ownership.owner
        decide = Decide(self.gid, "commit", owner, self._epoch, refs)
        try:
            stands = await self._execute(command, lambda: self._coordinator.journal.decide(decide))
        except Exception as error:
            self._note("the transaction log gave no decision", error)
            return DecisionUnknown()
        if stands.outcome == "commit" and stands.branches == refs:
            self._outcome = "commit"
            return Decided("commit")
        # A recoverer decided about this very attempt, or somebody about another one.
        if stands.outcome == "commit" or (stands.owner, stands.epoch) != (owner, self._epoch):
            self._decided_elsewhere = stands.outcome
        self._reason = "a recoverer took this coordinator for dead and decided abort"
        return Decided("abort")

    async def _resolve(self, index: int, command: Command, commit: bool) -> Event:
        place, name = self._places[index], self._refs[index].branch

        async def act() -> Resolution:
            if await self._branches[index].told():
                return "done"
            return await place.resolve(name, commit)

        for pause_s in (*_PAUSES_S, None):
            try:
                return Resolved(index, await self._execute(command, act))
            except Exception as error:
                if pause_s is None:
                    _log.warning("%s at %s is left to recovery: %s", name, place.place, error)
                    break
                await pause(pause_s)
        return Unreached(index)

    async def _commit_one_phase(self, index: int, command: CommitOnePhase) -> Event:
        place, name = self._places[index], self._refs[index].branch
        try:
            await self._execute(command, self._branches[index].commit_one_phase)
            return OnePhase("committed")
        except TransactionAborted as error:
            self._note(f"{place.place} refused to commit", error)
            return OnePhase("aborted")
        except Exception as error:
            self._note(f"{place.place} did not answer", error)
        await self._branches[index].abandon()
        for pause_s in _PAUSES_S:
            try:
                return OnePhase("committed" if await place.committed(name) else "aborted")
            except Exception:
                await pause(pause_s)
        return OnePhase("unknown")

    async def _finish(self, command: WriteFinish) -> None:
        try:
            await self._execute(
                command, self._keep_heuristic if command.heuristic else self._finish_later
            )
        except Exception as error:
            level = logging.ERROR if command.heuristic else logging.WARNING
            _log.log(level, "the log did not take how %s ended: %s", self.gid, error)

    async def _finish_later(self) -> None:
        self._coordinator.journal.finish_later(self.gid)

    async def _keep_heuristic(self) -> None:
        """Have it listed until a person has looked at it."""
        journal = self._coordinator.journal
        gone = ", ".join(self._refs[i].branch for i in self._machine.having("gone"))
        if self._outcome == "commit":
            evidence = f"decided commit, but {gone} had not been prepared any more"
        else:
            # An abort leaves nothing in the log by itself.
            evidence = f"decided abort, but {gone} has committed"
            owner = self._coordinator.ownership.owner
            await journal.decide(Decide(self.gid, "abort", owner, self._epoch))
        await journal.ask_patiently(Finish(self.gid, True, evidence), Finished)

    async def _give_up(self) -> None:
        """Leave after an interruption: what is not prepared ends now, recovery does the rest."""
        self._coordinator._leave(self)
        for branch in self._branches:
            await branch.abandon()
