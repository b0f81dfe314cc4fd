"""The sagas of one coordinator: those it runs, those it recovers, those it lists."""

from __future__ import annotations

import logging
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from concordant.aio.saga import AsyncSaga
from concordant.aio.saga_run import AsyncSagaRun
from concordant.drivers import registry
from concordant.drivers.stepport import AsyncBarrier
from concordant.errors import (
    BackendUnavailable,
    OutcomeUnknown,
    TransactionStuck,
    UsageError,
)
from concordant.transactions.names import check_gid, new_gid
from concordant.transactions.operations import (
    Claim,
    Create,
    Listing,
    OwnerGone,
    Record,
    final,
)
from concordant.transactions.saga import Begun, Event, Resumed
from concordant.transactions.sagarecord import (
    KIND,
    PAYLOAD_BYTES_MAX,
    TIMEOUT_S_MAX,
    Charter,
    SagaOutcome,
    SagaStatus,
    as_json,
)

if TYPE_CHECKING:
    from concordant.aio.coordinator import AsyncCoordinator

_log = logging.getLogger("concordant.transactions")


class Hold:
    """Says that somebody in this process works on a gid, for as long as it is referred to."""

    __slots__ = ("__weakref__", "gid")

    def __init__(self, gid: str) -> None:
        self.gid = gid


class AsyncSagas:
    """What one coordinator has to do with sagas; recovery stands in saga_recovery.py.

    `resting` are the runs that recovery has interrupted for a pause, `left` the gids that an
    error has kept from their end.
    """

    def __init__(self, coordinator: AsyncCoordinator) -> None:
        self._coordinator = coordinator
        self._registered: dict[str, AsyncSaga] = {}
        self._barriers: dict[str, AsyncBarrier] = {}
        # Weak, so that a gid is free again even if an interruption has kept it from being left.
        # Without a mutex, which an interruption might leave locked.
        self._running: dict[str, weakref.ref[Hold]] = {}
        self.resting: dict[str, AsyncSagaRun] = {}
        self.left: dict[str, None] = {}

    # --- definitions ----------------------------------------------------------------------

    def register(self, saga: AsyncSaga) -> None:
        """Let the saga be run and recovered here."""
        if self._registered.setdefault(saga.definition, saga) is not saga:
            raise UsageError(
                f"another saga {saga.definition} is registered; give this one the next version"
            )
        saga.seal()

    def definitions(self) -> tuple[str, ...]:
        """Return what is registered."""
        return tuple(self._registered)

    def registered(self, definition: str) -> AsyncSaga | None:
        """Return the saga that is registered under the definition."""
        return self._registered.get(definition)

    def barrier(self, url: str) -> AsyncBarrier:
        """Return this coordinator's barriers for the URL, made on first use."""
        known = self._barriers.get(url)
        return known or self._barriers.setdefault(url, registry.async_barrier(url))

    # --- running --------------------------------------------------------------------------

    async def run(
        self, saga: AsyncSaga, payload: Any, gid: str | None, timeout_s: float | None
    ) -> SagaOutcome:
        """Run the saga to its end; see AsyncCoordinator.run."""
        if self._registered.get(saga.definition) is not saga:
            raise UsageError(
                f"register the saga {saga.definition} first, so that it can be recovered"
            )
        if timeout_s is not None and not 0 < timeout_s <= TIMEOUT_S_MAX:
            raise UsageError(f"timeout_s is above 0 and at most {TIMEOUT_S_MAX} seconds")
        timeout_ms = None if timeout_s is None else max(1, round(timeout_s * 1000))
        text = as_json("the payload", payload, PAYLOAD_BYTES_MAX)
        charter = Charter(text, saga.step_names, timeout_ms)
        gid = new_gid() if gid is None else check_gid(gid)
        hold = self.enter(gid)
        if hold is None:
            raise OutcomeUnknown(f"the saga {gid} is under way in this process; ask again")
        try:
            return await self._run(saga, charter, gid)
        except (UsageError, TransactionStuck):
            raise
        except BaseException:
            # Harmless if it has ended, or somebody else has it: recovery looks once.
            self.left[gid] = None
            raise
        finally:
            self.leave(hold)

    def enter(self, gid: str) -> Hold | None:
        """Return the hold on the gid, to `leave` when done; None if somebody has it."""
        hold = Hold(gid)
        mark = weakref.ref(hold, partial(_forget, self._running, gid))
        # Of several threads `setdefault` lets exactly one win.
        return hold if self._running.setdefault(gid, mark) is mark else None

    def leave(self, hold: Hold) -> None:
        """Let others in this process have the gid."""
        self._running.pop(hold.gid, None)

    def running(self, gid: str) -> bool:
        """Tell whether somebody in this process works on the gid."""
        return gid in self._running

    async def _run(self, saga: AsyncSaga, charter: Charter, gid: str) -> SagaOutcome:
        ownership = self._coordinator.ownership
        # What recovery has put aside is taken up again from the log.
        known = self.resting.pop(gid, None) is not None or gid in self.left
        create = Create(
            gid, KIND, saga.definition, charter.to_json(), ownership.owner, ownership.epoch
        )
        journal = self._coordinator.journal
        try:
            record: Record = await self._coordinator.executor(
                "saga", "new", create, lambda: journal.ask_patiently(create, Record)
            )
        except Exception as error:
            raise OutcomeUnknown(
                f"whether the saga {gid} is stored is not known: {error}; run it again with"
                " the same gid"
            ) from error
        _check_same(record, create, charter)
        # A repeat whose first reply was lost finds its own record.
        mine = (record.owner, record.epoch) == (create.owner, create.epoch)
        fresh = record.fresh or (mine and record.version == 1 and not known)
        event: Event = Begun()
        # Read before it is taken over: what this version cannot read it must not take.
        run = AsyncSagaRun(self._coordinator, saga, record, self.barrier)
        if not record.fresh:
            record = await self._taken(record)
            run = AsyncSagaRun(self._coordinator, saga, record, self.barrier)
            event = Resumed()
        if record.state in ("running", "aborting"):
            await run.drive(event, patient=True)
        outcome = run.outcome(fresh)
        self.left.pop(gid, None)
        return outcome

    async def _taken(self, record: Record) -> Record:
        """Return the record as this process has it now, if it is to be worked on."""
        if final(record.state):
            return record
        if record.state == "stuck":
            raise TransactionStuck(
                f"the saga {record.gid} is stuck: {record.evidence}; mend that, then call"
                " coordinator.retry(gid)"
            )
        claimed = await self.claim(record.gid)
        if claimed is None:
            raise OutcomeUnknown(f"the saga {record.gid} is under way elsewhere; ask again")
        return claimed

    async def claim(self, gid: str) -> Record | None:
        """Take over the saga if nobody alive has it, or this very process."""
        ownership = self._coordinator.ownership
        claim = Claim(ownership.owner, ownership.epoch, 1, self.definitions(), gids=(gid,))
        return await self.taken_by(claim)

    async def taken_by(self, claim: Claim) -> Record | None:
        """Return the first record that the claim gives this process, if any.

        While its epoch is over it is given none; the next one comes with the next renewal.
        """
        journal = self._coordinator.journal
        answer: object = await self._coordinator.executor(
            "saga", "left", claim, lambda: journal.ask(claim, object)
        )
        if isinstance(answer, OwnerGone):
            return None
        if not isinstance(answer, Listing):
            raise BackendUnavailable(f"the transaction log answered {answer}")
        return answer.records[0] if answer.records else None

    # --- looking --------------------------------------------------------------------------

    async def unfinished(self) -> list[SagaStatus]:
        """Return the sagas that have not ended, whoever has them."""
        journal = self._coordinator.journal
        records = [row for row in (await journal.unfinished()).records if row.kind == KIND]
        alive = await journal.alive(sorted({(row.owner, row.epoch) for row in records}))
        return [
            SagaStatus.of(row, (row.owner, row.epoch) in alive, self._note(row)) for row in records
        ]

    def _note(self, record: Record) -> str:
        if record.definition in self._registered:
            return ""
        name = record.definition.partition("/")[0]
        others = sorted(saga.definition for saga in self._registered.values() if saga.name == name)
        instead = f", only {', '.join(others)}" if others else ""
        return f"no saga {record.definition} is registered here{instead}: left alone"

    async def aclose(self) -> None:
        """Close what the steps have used."""
        for barrier in self._barriers.values():
            try:
                await barrier.aclose()
            except Exception as error:
                _log.warning("closing a database of saga steps failed: %s", error)


def _forget(running: dict[str, weakref.ref[Hold]], gid: str, mark: weakref.ref[Hold]) -> None:
    if running.get(gid) is mark:
        running.pop(gid, None)


def _check_same(record: Record, create: Create, charter: Charter) -> None:
    """Raise UsageError unless what the gid stands for is what was asked for."""
    if (record.kind, record.definition) != (create.kind, create.definition):
        raise UsageError(
            f"the gid {record.gid} is that of {record.kind} {record.definition}, not of"
            f" {create.definition}; take another gid"
        )
    stored = Charter.from_json(record.payload)
    if stored.payload != charter.payload:
        raise UsageError(
            f"the gid {record.gid} stands for {record.definition} with another payload; take"
            " another gid"
        )
