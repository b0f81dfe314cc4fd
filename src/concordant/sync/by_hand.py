# Generated from src/concordant/aio/by_hand.py by tools/unasync.py; do not edit.
"""What a person can do: have a saga tried again, or say how a saga or transaction has ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from concordant.errors import BackendUnavailable, ConcordantError, UsageError
from concordant.transactions.names import BranchId, check_gid, new_owner
from concordant.transactions.operations import (
    Advance,
    Claim,
    CloseOwner,
    Conflict,
    Decision,
    Finish,
    Finished,
    Listing,
    Load,
    OpenOwner,
    OwnerAlive,
    OwnerOpened,
    Record,
    SagaState,
    final,
)
from concordant.transactions.saga import Limits, Retried, SagaMachine, SettledByHand, step
from concordant.transactions.sagarecord import KIND, Charter, told

if TYPE_CHECKING:
    from concordant.sync.coordinator import Coordinator
    from concordant.sync.journal import Journal

_log = logging.getLogger("concordant.transactions")

_TTL_MS: Final = 60_000
# Nobody goes on with a saga that is being settled; if that breaks off, it can be done again.
_SETTLING_MS: Final = 3_600_000


def settle_decision(coordinator: Coordinator, decision: Decision, state: str, reason: str) -> None:
    """Note that a person has brought a heuristic transaction to what was decided.

    Raises UsageError while a branch of it may still be prepared: once its decision was
    forgotten, recovery would abort that.
    """
    gid, decided = decision.gid, "committed" if decision.outcome == "commit" else "aborted"
    if state != decided:
        raise UsageError(
            f"{gid} was decided {decision.outcome}, and that stands: bring its databases there,"
            f" then settle it as {decided}"
        )
    reached = coordinator.by_resource()
    for ref in decision.branches:
        if ref.resource not in reached:
            raise UsageError(
                f"{gid} had a branch at {ref.place}, which this coordinator does not know or"
                " cannot reach: name it in participants"
            )
    for participant in reached.values():
        for each in participant.in_doubt():
            branch = BranchId.parse(each.branch)
            if branch and (branch.log_id, branch.gid) == (coordinator.ownership.log_id, gid):
                raise UsageError(
                    f"{branch} is still prepared at {participant.place}: call recover() first"
                )
    finish = Finish(gid, evidence=told(f"by hand: {reason}"), by_hand=True)
    coordinator.journal.ask_patiently(finish, Finished)


def take_in_hand(journal: Journal, gid: str, event: Retried | SettledByHand) -> None:
    """Do to the saga what a person has decided; raises UsageError if somebody works on it.

    It is done as an owner of its own, made for this and gone after: so the saga belongs to
    nobody, and whoever has registered its definition goes on with it.
    """
    check_gid(gid)
    owner = new_owner()
    opened = journal.ask(OpenOwner(owner, _TTL_MS, "by hand"), OwnerOpened)
    try:
        claim = Claim(owner, opened.epoch, 1, gids=(gid,))
        taken = (journal.ask(claim, Listing)).records
        if not taken:
            raise _why_not(journal, gid)
        _change(journal, taken[0], event)
    finally:
        try:
            journal.ask(CloseOwner(owner, opened.epoch), OwnerAlive)
        except ConcordantError as error:
            _log.warning("the saga %s is free only in %s ms: %s", gid, _TTL_MS, error)


def _why_not(journal: Journal, gid: str) -> UsageError:
    records = (journal.ask(Load(gid), Listing)).records
    if not records or records[0].kind != KIND:
        return UsageError(f"the log knows no saga {gid}, and no heuristic transaction")
    [record] = records
    if final(record.state):
        return UsageError(f"the saga {gid} has ended already: it is {record.state}")
    return UsageError(
        f"the saga {gid} is under way at {record.owner}-{record.epoch}; stop that process"
        " first, or wait for it"
    )


def _change(journal: Journal, record: Record, event: Retried | SettledByHand) -> None:
    if record.kind != KIND:
        raise UsageError(f"the gid {record.gid} is that of a {record.kind}, not of a saga")
    steps = len(Charter.from_json(record.payload).steps)
    machine, _ = step(SagaMachine.from_json(record.state, record.data, steps, Limits()), event)
    assert machine.state != "left"
    if isinstance(event, SettledByHand) and record.state == "stuck":
        # The log lets nothing end that is stuck: it is set going first, for nobody.
        way: SagaState = "running" if machine.way == "forward" else "aborting"
        record = _advance(journal, record, way, record.data, event.reason, _SETTLING_MS)
    _advance(journal, record, machine.state, machine.to_json(), machine.evidence, 0)


def _advance(
    journal: Journal,
    record: Record,
    state: SagaState,
    data: str,
    evidence: str,
    due_in_ms: int,
) -> Record:
    answer = journal.advance(
        Advance(
            record.gid,
            record.version,
            record.owner,
            record.epoch,
            state,
            data,
            due_in_ms,
            told(evidence),
        )
    )
    if isinstance(answer, Conflict):
        raise BackendUnavailable(f"the saga {record.gid} was changed meanwhile; look, and retry")
    return answer
