# Generated from src/concordant/aio/coordinator.py by tools/unasync.py; do not edit.
"""The coordinator: transactions over several databases that survive a crash at any point."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from concordant._bridge.sync import (
    Executor,
    Periodic,
    Trace,
    call,
    direct,
    in_turn,
    settle,
)
from concordant.drivers import registry
from concordant.drivers.base import Participant
from concordant.drivers.urls import mask
from concordant.errors import AlreadyDecided, ConcordantError, UsageError
from concordant.session.ownership import Ownership
from concordant.sync.by_hand import settle_decision, take_in_hand
from concordant.sync.journal import Journal
from concordant.sync.recovery import Doubt, Recovered, Recoverer
from concordant.sync.saga import Saga
from concordant.sync.saga_recovery import SagaRecoverer
from concordant.sync.sagas import Sagas
from concordant.sync.transaction import Transaction
from concordant.transactions.names import BRANCHES_MAX, check_gid, new_gid
from concordant.transactions.operations import Purge, Purged
from concordant.transactions.saga import Retried, SettledByHand
from concordant.transactions.sagarecord import SagaOutcome, SagaStatus

if TYPE_CHECKING:
    from concordant.drivers.capabilities import Capabilities

_log = logging.getLogger("concordant.transactions")
_KEEP_MS = 7 * 24 * 3600 * 1000


class Coordinator:
    """Commits over several databases everywhere or nowhere, through a durable log.

    `with Coordinator(log_url, participants=[...]) as coordinator:` registers this
    process, recovers what crashed ones left (again every `recover_every_s` seconds, over
    the participants named here and those used since), and gives `transaction(a, b)`.

    `owner_ttl_s` is how long this process may be silent before others take it for dead and
    abort what it has not decided. Every process that works with one group of databases
    should use one log: branches of another log are listed, never touched.

    `on_recovered` is called with each Recovered, by the pass that recovered it; what it raises
    is logged. `executor(machine, state, command, action)` runs each command of two-phase
    commits, sagas and recovery, and returns what `action()` returns; it is there for tests
    that crash, delay or count at one of them. The default runs the action and nothing else.
    """

    def __init__(
        self,
        log_url: str,
        *,
        participants: Iterable[str | Participant] = (),
        owner_ttl_s: float = 10.0,
        recover_every_s: float = 2.0,
        on_recovered: Callable[[Recovered], None] | None = None,
        executor: Executor = direct,
    ) -> None:
        if not owner_ttl_s >= 0.2 or not recover_every_s > 0:
            raise UsageError("owner_ttl_s is at least 0.2 and recover_every_s above 0 seconds")
        self._place = mask(log_url)
        log = registry.transaction_log(log_url)
        self._promises = log.capabilities
        self.journal = Journal(log)
        self.ownership = Ownership(
            lambda: registry.transaction_log(log_url), round(owner_ttl_s * 1000)
        )
        self.executor = executor
        self._by_url: dict[str, Participant] = {}
        self._given: list[Participant] = []
        # Not a set: of several threads `setdefault` lets exactly one win.
        self._running: dict[str, Transaction] = {}
        self._entered = False
        for each in participants:
            self._known(each)
        self.recoverer = Recoverer(self, on_recovered)
        self._periodic = Periodic(self._recover_quietly, recover_every_s)
        self._sagas = Sagas(self)
        self._saga_recoverer = SagaRecoverer(self, self._sagas, on_recovered)
        # Apart, since a saga's step may take its time.
        self._saga_periodic = Periodic(
            self._saga_recoverer.run_quietly, recover_every_s, at_once=True
        )

    @property
    def capabilities(self) -> Capabilities:
        """What this log promises."""
        return self._promises

    # --- participants ---------------------------------------------------------------------

    def participant(self, url: str) -> Participant:
        """Return this coordinator's participant for the URL, made on first use."""
        known = self._by_url.get(url)
        return known or self._by_url.setdefault(url, registry.participant(url))

    def _known(self, each: str | Participant) -> Participant:
        if isinstance(each, str):
            return self.participant(each)
        if each not in self._given:
            self._given.append(each)
        return each

    def participants(self) -> list[Participant]:
        """Return the participants named at the start or used since."""
        return [*self._by_url.values(), *self._given]

    def by_resource(self) -> dict[str, Participant]:
        """Return the participants that can be reached, by their lasting ids."""
        found: dict[str, Participant] = {}
        for participant in self.participants():
            try:
                found[participant.resource()] = participant
            except Exception as error:
                _log.warning("%s cannot be reached: %s", participant.place, error)
        return found

    # --- transactions ---------------------------------------------------------------------

    def transaction(self, *participants: str | Participant, gid: str | None = None) -> Transaction:
        """Return a global transaction over these databases, to be entered with `with`.

        `gid` names it (1 to 36 of ``[A-Za-z0-9._-]``; default a UUIDv7): one that was
        decided before raises AlreadyDecided on entry, and nothing is done again. A read-only
        participant leaves before the decision. One participant alone commits in one phase,
        of which the log knows nothing, unless a gid is given.
        """
        if not 1 <= len(participants) <= BRANCHES_MAX:
            raise UsageError(f"a transaction has 1 to {BRANCHES_MAX} participants")
        chosen = [self._known(each) for each in participants]
        if len({id(each) for each in chosen}) != len(chosen):
            raise UsageError("a transaction names each participant once")
        return Transaction(
            self, chosen, new_gid() if gid is None else check_gid(gid), gid is not None
        )

    def outcome(self, gid: str) -> Literal["commit", "abort"] | None:
        """Return what was decided for the gid, or None: nothing is (or it was purged).

        While its coordinator lives, None may still become either; once it is dead and
        recovery has passed, None means that it was rolled back (or had nothing to decide: it
        was read-only, or of one participant without a gid given).
        """
        self.ownership.check_usable()
        decision = self.journal.decision(check_gid(gid))
        return None if decision is None else decision.outcome

    def running(self, gid: str) -> bool:
        """Tell whether this very object is working on the gid now."""
        return gid in self._running

    def all_running(self) -> frozenset[str]:
        """Return the gids that this very object is working on now."""
        return frozenset(self._running)

    def _enter(self, transaction: Transaction, named: bool) -> None:
        self.ownership.check_usable()
        gid = transaction.gid
        if self._running.setdefault(gid, transaction) is not transaction:
            raise UsageError(f"the gid {gid} is under way in this coordinator already")
        decision = self.journal.decision(gid) if named else None
        if decision is not None:
            raise AlreadyDecided(
                f"the gid {gid} was decided before ({decision.outcome}); nothing was done again",
                decision.outcome,
            )

    def _leave(self, transaction: Transaction) -> None:
        if self._running.get(transaction.gid) is transaction:
            del self._running[transaction.gid]

    # --- sagas ----------------------------------------------------------------------------

    def register(self, saga: Saga) -> None:
        """Let the saga be run here, and recovered when another process has left one.

        Register what may be unfinished before entering, older versions too: sagas that are
        not registered are listed, never touched.
        """
        self._sagas.register(saga)

    def run(
        self,
        saga: Saga,
        payload: Any = None,
        *,
        gid: str | None = None,
        timeout_s: float | None = None,
    ) -> SagaOutcome:
        """Run a registered saga to its end, and return how it ended.

        It is stored before its first step, so it comes to its end even if this process does
        not. `payload` is a JSON value. `gid` names it (default a UUIDv7) once and for ever:
        a gid that has ended returns its outcome, and nothing is done again; one that was left
        unfinished is gone on with. After `timeout_s` from its creation it is compensated,
        the action under way included; the way back has no bound.

        Raises UsageError if the gid stands for something else, TransactionStuck if a
        compensation keeps failing, OutcomeUnknown if the saga is under way elsewhere or this
        process lost it: ask again with the same gid.
        """
        self.ownership.check_usable()
        return self._sagas.run(saga, payload, gid, timeout_s)

    def sagas(self) -> list[SagaStatus]:
        """Return the sagas that have not ended: state, age, owner and evidence."""
        self.ownership.check_usable()
        return self._sagas.unfinished()

    def retry(self, gid: str) -> None:
        """Have a stuck or resting saga tried again now, the way it was going.

        Whoever has registered its definition goes on with it. Raises UsageError if there is
        no such saga, or somebody works on it.
        """
        self.ownership.check_usable()
        take_in_hand(self.journal, gid, Retried())

    def settle_by_hand(self, gid: str, state: Literal["committed", "aborted"], reason: str) -> None:
        """Note that a person has brought the databases to this outcome, and why.

        Of a saga that has not ended, or a transaction that is heuristic; of that, to the
        outcome that was decided, which stands. Nothing is done to the databases, and all
        evidence is kept, with the reason, until a purge forgets it like any other.

        Raises UsageError if there is no such saga or transaction, it has ended, somebody works
        on it, or a branch of it is still prepared or may be: name all of its databases.
        """
        self.ownership.check_usable()
        if state not in ("committed", "aborted") or not reason.strip():
            raise UsageError("a gid is settled as committed or aborted, for a reason")
        decision = self.journal.decision(check_gid(gid))
        if decision is not None and decision.state == "heuristic":
            return settle_decision(self, decision, state, reason)
        take_in_hand(self.journal, gid, SettledByHand(state, f"by hand: {reason}"))

    # --- recovery -------------------------------------------------------------------------

    def recover(self) -> int:
        """Recover now what can be recovered, and return how many branches and sagas that were."""
        self.ownership.check_usable()
        return self.recoverer.run_once() + self._saga_recoverer.run_once()

    def doubts(self) -> list[Doubt]:
        """Return what is in doubt: branches with age, owner and evidence, foreign ones too."""
        self.ownership.check_usable()
        return self.recoverer.doubts()

    def purge(self, older_than_s: float = _KEEP_MS / 1000) -> int:
        """Forget finished decisions of that age, and return how many there were.

        Another process may then use their gids again, and would do their work again. On
        PostgreSQL it waits for decisions under way; BackendUnavailable after a second, with
        nothing forgotten.
        """
        self.ownership.check_usable()
        purged = self.journal.ask(Purge(round(older_than_s * 1000)), Purged)
        return purged.count

    def _recover_quietly(self) -> None:
        try:
            self.recoverer.run_once()
        except ConcordantError as error:
            _log.warning("recovery could not run, trying again: %s", error)

    def __enter__(self) -> Coordinator:
        if self._entered:
            raise UsageError("a coordinator is entered once; make another one")
        self._entered = True
        try:
            settle(call, self.ownership.start)
            self._recover_quietly()
            self._periodic.start()
            self._saga_periodic.start()
        except BaseException:
            settle(self._close)
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: Trace
    ) -> None:
        try:
            settle(self._close)
        except BaseException:
            # Once more, or Ctrl-C would leave a thread that keeps this owner alive for ever; and
            # that first, since it may come again.
            self.ownership.let_lapse()
            settle(self._close)
            raise

    def _close(self) -> None:
        self._saga_recoverer.stop()
        in_turn(
            self._periodic.stop,
            self._saga_periodic.stop,
            self._flush,
            partial(call, self.ownership.stop),
            self._sagas.close,
            self._close_participants,
            self.journal.close,
        )

    def _flush(self) -> None:
        try:
            self.journal.flush()
        except ConcordantError as error:
            _log.warning("finished decisions will be looked at once more: %s", error)

    def _close_participants(self) -> None:
        for participant in self.participants():
            try:
                participant.close()
            except Exception as error:
                _log.warning("closing %s failed: %s", participant.place, error)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} log={self._place}>"
