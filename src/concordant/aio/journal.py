"""The transaction log as the coordinator speaks to it: typed questions, combined round trips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from concordant._bridge.aio import Combiner, pause
from concordant.drivers.base import AsyncTransactionLog
from concordant.errors import BackendUnavailable, OutcomeUnknown
from concordant.transactions.operations import (
    Advance,
    Alive,
    Conflict,
    Decide,
    Decision,
    Finish,
    Listing,
    Load,
    LogOperation,
    LogResult,
    OwnerGone,
    OwnerStates,
    Query,
    Record,
)

_Answer = TypeVar("_Answer")
_PAGE: Final = 256

# How often, and after which pauses, an operation that is safe to repeat is tried.
_PAUSES_S: Final = (0.05, 0.2, 0.5, 1.0, 2.0)


class AsyncJournal:
    """Group commit over a transaction log: what many ask at once is one durable write."""

    def __init__(self, log: AsyncTransactionLog) -> None:
        self._log = log
        promises = log.capabilities
        self._combiner: Combiner[LogOperation, LogResult] = Combiner(
            log.apply, promises.lanes, promises.batch_best
        )

    async def ask(self, operation: LogOperation, kind: type[_Answer]) -> _Answer:
        """Return the answer, which must be of this kind; anything else is an error."""
        return _expect(await self._combiner.submit(operation), kind)

    async def ask_patiently(self, operation: LogOperation, kind: type[_Answer]) -> _Answer:
        """Ask something that is safe to repeat, again and again for a few seconds.

        An answer of another kind is not asked for again: it would be the same.
        """
        for pause_s in _PAUSES_S:
            try:
                answer = await self._combiner.submit(operation)
            except (BackendUnavailable, OutcomeUnknown):
                await pause(pause_s)
            else:
                return _expect(answer, kind)
        return await self.ask(operation, kind)

    async def decide(self, decide: Decide) -> Decision:
        """Return the decision that stands; raises OutcomeUnknown if the log never answers.

        Raises BackendUnavailable at once if this epoch may decide nothing any more.
        """
        return await self.ask_patiently(decide, Decision)

    async def advance(self, advance: Advance) -> Record | Conflict:
        """Return the record as it stands now, or the conflict; asked patiently.

        A repeat finds what an earlier try has written, though its reply was lost, and takes
        that for success.
        """
        answer = await self.ask_patiently(advance, object)
        if isinstance(answer, Conflict) and answer.current is not None:
            stands = answer.current
            asked = (advance.owner, advance.epoch, advance.version + 1)
            said = (advance.state, advance.data)
            same = (stands.owner, stands.epoch, stands.version) == asked
            return stands if same and (stands.state, stands.data) == said else answer
        if isinstance(answer, Record | Conflict):
            return answer
        raise BackendUnavailable(f"the transaction log answered {answer}")

    async def decision(self, gid: str) -> Decision | None:
        """Return the decision for the gid, if there is one."""
        found = await self.ask(Load(gid), Listing)
        return found.decisions[0] if found.decisions else None

    async def decisions(self, gids: Sequence[str]) -> dict[str, Decision]:
        """Return the decisions that stand among these gids."""
        found: dict[str, Decision] = {}
        for start in range(0, len(gids), 128):
            loads = [Load(gid) for gid in gids[start : start + 128]]
            for answer in await self._combiner.submit_many(loads):
                for decision in _expect(answer, Listing).decisions:
                    found[decision.gid] = decision
        return found

    async def alive(self, owners: Sequence[tuple[str, int]]) -> frozenset[tuple[str, int]]:
        """Return which of these epochs run."""
        if not owners:
            return frozenset()
        return (await self.ask(OwnerStates(tuple(owners)), Alive)).owners

    async def unfinished(self) -> Listing:
        """Return all decisions and records that somebody still has to act on."""
        decisions: dict[str, Decision] = {}
        records: dict[str, Record] = {}
        after = ""
        while True:
            page = await self.ask(Query(True, after, _PAGE), Listing)
            decisions |= {row.gid: row for row in page.decisions}
            records |= {row.gid: row for row in page.records}
            # Both kinds together fill a page.
            gids = {row.gid for row in page.decisions} | {row.gid for row in page.records}
            if len(gids) < _PAGE:
                return Listing(tuple(decisions.values()), tuple(records.values()))
            after = max(gids)

    def finish_later(self, gid: str) -> None:
        """Mark the decision as obeyed with the next write; being late costs a look only."""
        self._combiner.defer(Finish(gid))

    async def flush(self) -> None:
        """Write what was put off."""
        await self._combiner.flush()

    async def aclose(self) -> None:
        """Finish what is under way and close the log."""
        await self._combiner.drain()
        await self._log.aclose()


def _expect(answer: LogResult, kind: type[_Answer]) -> _Answer:
    if isinstance(answer, OwnerGone) and not isinstance(answer, kind):
        raise BackendUnavailable(
            "the log has given this coordinator up, which was silent for longer than its"
            " owner_ttl_s; it goes on under a new epoch, so try again"
        )
    if not isinstance(answer, kind):
        raise BackendUnavailable(f"the transaction log answered {answer}")
    return answer
