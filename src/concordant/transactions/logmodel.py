"""What each log operation means, over rows that a driver supplies.

A log is a table of decisions, a table of sagas and messages, and a table of owners. An owner
is one coordinator process under a lease; each time it opens its row the epoch rises, and an
epoch whose lease has run out is over for good, even if nobody noticed.

* A decision is inserted if absent and never changes its outcome. That settles a race between
  a coordinator and a recoverer for as long as the decision is kept. For when it was forgotten:
  an epoch that is over inserts no commit any more, so a coordinator that slept through an
  abort and its purge does not commit what was rolled back. Whoever may abort for it, anybody.
  It creates no record any more either, and so begins nothing anew that has ended.
* A record changes only by compare-and-set on its version and its owner's living epoch, and
  never leaves a final state.
* Whatever is heuristic or stuck waits for a person, and is deleted only after one has settled it;
  what that person has to say stands with the evidence as long as that is kept.

`perform` is to be called inside one transaction for each operation of a batch, in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from concordant.transactions.logcheck import EVIDENCE_BYTES_MAX, malformed
from concordant.transactions.logrows import (
    DecisionRow,
    LogMoment,
    LogRows,
    OwnerRow,
    RecordRow,
)
from concordant.transactions.names import EPOCH_MAX
from concordant.transactions.operations import (
    Advance,
    Alive,
    Claim,
    CloseOwner,
    Conflict,
    Create,
    Decide,
    Decision,
    Finish,
    Finished,
    Listing,
    Load,
    LogOperation,
    LogResult,
    OpenOwner,
    OwnerAlive,
    OwnerGone,
    OwnerOpened,
    OwnerStates,
    Purge,
    Purged,
    Query,
    Record,
    Rejected,
    RenewOwner,
    final,
)

# More than this in one answer is asked for in pages.
LIMIT_MAX: Final = 256

# A forgotten owner that does not know its past starts again at epoch 1, where a branch that
# it left prepared would look alive: so it is kept until recovery has long been over.
OWNER_KEPT_MS: Final = 7 * 24 * 3600 * 1000


def only_reads(batch: Sequence[LogOperation]) -> bool:
    """Tell whether nothing in the batch changes the log."""
    return all(isinstance(operation, Load | Query | OwnerStates) for operation in batch)


def only_decides(batch: Sequence[LogOperation]) -> bool:
    """Tell whether the batch is nothing but decisions and the ordinary ends of others.

    That is what a log under load is asked, and drivers may do all of it in few statements: an
    insert of each decision unless its gid has one, and a mark on each that is deciding. Each
    gid occurs once, and nothing is malformed.
    """
    gids = [each.gid for each in batch if isinstance(each, Decide | Finish)]
    return len(gids) == len(batch) == len(set(gids)) and all(
        not malformed(each) and not (isinstance(each, Finish) and (each.heuristic or each.evidence))
        for each in batch
    )


def decided_fresh(decide: Decide) -> Decision:
    """Return the answer to a decision that this very request inserted."""
    return Decision(
        decide.gid,
        decide.outcome,
        decide.owner,
        decide.epoch,
        decide.branches,
        "deciding",
        0,
        fresh=True,
    )


def perform(rows: LogRows, operation: LogOperation, moment: LogMoment) -> LogResult:
    """Do one operation and return its answer; a malformed one is Rejected and does nothing."""
    reason = malformed(operation)
    if reason:
        return Rejected(reason)
    match operation:
        case OpenOwner():
            return _open_owner(rows, operation, moment)
        case RenewOwner():
            expires_us = moment.now_us + operation.ttl_ms * 1000
            return _lease(rows, operation.owner, operation.epoch, expires_us, moment)
        case CloseOwner():
            return _lease(rows, operation.owner, operation.epoch, 0, moment)
        case Decide():
            return _decide(rows, operation, moment)
        case Finish():
            return _finish(rows, operation, moment)
        case Create():
            return _create(rows, operation, moment)
        case Advance():
            return _advance(rows, operation, moment)
        case Claim():
            return _claim(rows, operation, moment)
        case Load():
            return _load(rows, operation, moment)
        case Query():
            return _query(rows, operation, moment)
        case OwnerStates():
            pairs = frozenset(operation.owners)
            alive = frozenset(pair for pair in pairs if _alive(rows, *pair, moment))
            return Alive(alive, rows.log_id)
        case Purge():
            return _purge(rows, operation, moment)


# --- owners -------------------------------------------------------------------------------


def _alive(rows: LogRows, owner: str, epoch: int, moment: LogMoment) -> bool:
    row = rows.owner(owner)
    return row is not None and row.epoch == epoch and row.expires_us > moment.now_us


def _open_owner(rows: LogRows, operation: OpenOwner, moment: LogMoment) -> LogResult:
    row = rows.owner(operation.owner)
    epoch = 1 if row is None else row.epoch + 1
    epoch = max(epoch, operation.past + 1)
    if epoch > EPOCH_MAX:
        return Rejected(
            f"owner {operation.owner} has had all {EPOCH_MAX} epochs; make a new owner id"
        )
    expires_us = moment.now_us + operation.ttl_ms * 1000
    rows.put_owner(OwnerRow(operation.owner, epoch, expires_us, operation.note, moment.wall_us))
    return OwnerOpened(rows.log_id, epoch)


def _lease(rows: LogRows, owner: str, epoch: int, expires_us: int, moment: LogMoment) -> LogResult:
    row = rows.owner(owner)
    if row is None or not _alive(rows, owner, epoch, moment):
        return OwnerGone()
    rows.put_owner(replace(row, expires_us=expires_us, changed_at_us=moment.wall_us))
    return OwnerAlive()


def _purge(rows: LogRows, operation: Purge, moment: LogMoment) -> LogResult:
    before_us = moment.wall_us - operation.older_than_ms * 1000
    owners_us = min(before_us, moment.wall_us - OWNER_KEPT_MS * 1000)
    return Purged(rows.purge(before_us, owners_us, moment.now_us))


# --- decisions ----------------------------------------------------------------------------


def _decide(rows: LogRows, operation: Decide, moment: LogMoment) -> LogResult:
    standing = rows.decision(operation.gid)
    if standing is not None:
        return _decision(standing, moment)
    if operation.outcome == "commit" and not _alive(rows, operation.owner, operation.epoch, moment):
        # No abort either: if this is a question for the second time, the commit may have
        # stood meanwhile, been obeyed, and been forgotten.
        return OwnerGone()
    row = DecisionRow(
        operation.gid,
        operation.outcome,
        operation.owner,
        operation.epoch,
        operation.branches,
        "deciding",
        "",
        moment.wall_us,
        moment.wall_us,
    )
    rows.put_decision(row)
    return _decision(row, moment, fresh=True)


def _finish(rows: LogRows, operation: Finish, moment: LogMoment) -> LogResult:
    row = rows.decision(operation.gid)
    if row is None:
        return Finished()
    evidence = _add_evidence(row.evidence, operation.evidence)
    if operation.by_hand:
        if row.state != "heuristic":
            return Rejected(f"it is {row.state}; only what is heuristic is settled by hand")
        if operation.evidence not in evidence:
            return Rejected("its evidence is full, and what a person did has to stand there too")
        settled = replace(row, state="finished", evidence=evidence)
        rows.put_decision(replace(settled, changed_at_us=moment.wall_us))
        return Finished()
    # A heuristic outcome stays one: that later every branch has obeyed does not undo it.
    heuristic = operation.heuristic or row.state == "heuristic"
    marked = replace(row, state="heuristic" if heuristic else "finished", evidence=evidence)
    if marked != row:
        rows.put_decision(replace(marked, changed_at_us=moment.wall_us))
    return Finished()


def _add_evidence(before: str, more: str) -> str:
    """Append what is new, a line each; what was seen first is never pushed out."""
    if not more or more in before.split("\n") or more == before:
        return before
    joined = f"{before}\n{more}" if before else more
    return joined if len(joined.encode()) <= EVIDENCE_BYTES_MAX else before


# --- sagas and messages -------------------------------------------------------------------


def _create(rows: LogRows, operation: Create, moment: LogMoment) -> LogResult:
    standing = rows.record(operation.gid)
    if standing is not None:
        return _record(standing, moment)
    if not _alive(rows, operation.owner, operation.epoch, moment):
        # It may have stood, been brought to its end by somebody else, and been forgotten.
        return OwnerGone()
    row = RecordRow(
        operation.gid,
        operation.kind,
        operation.definition,
        operation.payload,
        "running",
        "",
        1,
        operation.owner,
        operation.epoch,
        moment.now_us,
        "",
        moment.wall_us,
        moment.wall_us,
    )
    rows.put_record(row)
    return _record(row, moment, fresh=True)


def _advance(rows: LogRows, operation: Advance, moment: LogMoment) -> LogResult:
    row = rows.record(operation.gid)
    if row is None:
        return Conflict(None)
    if (
        (row.version, row.owner, row.epoch) != (operation.version, operation.owner, operation.epoch)
        or final(row.state)
        or not _alive(rows, operation.owner, operation.epoch, moment)
    ):
        return Conflict(_record(row, moment))
    if row.state == "stuck" and final(operation.state):
        return Rejected("a stuck record is set running or aborting before it can end")
    changed = replace(
        row,
        state=operation.state,
        data=operation.data,
        evidence=operation.evidence,
        due_us=moment.now_us + operation.due_in_ms * 1000,
        version=row.version + 1,
        changed_at_us=moment.wall_us,
    )
    rows.put_record(changed)
    return _record(changed, moment)


def _claim(rows: LogRows, operation: Claim, moment: LogMoment) -> LogResult:
    claimer = (operation.owner, operation.epoch)
    if not _alive(rows, *claimer, moment):
        return OwnerGone()
    left: list[RecordRow] = []
    known: dict[tuple[str, int], bool] = {claimer: not operation.own}
    for row in _claimable(rows, operation, moment):
        holder = (row.owner, row.epoch)
        if holder not in known:
            known[holder] = _alive(rows, *holder, moment)
        if not known[holder] or row.state == "stuck":
            left.append(row)
        if len(left) == min(operation.limit, LIMIT_MAX):
            break
    # Only now, since rows must not change under the scan.
    taken = [
        replace(
            row,
            owner=operation.owner,
            epoch=operation.epoch,
            version=row.version + 1,
            changed_at_us=moment.wall_us,
        )
        for row in left
    ]
    for row in taken:
        rows.put_record(row)
    return Listing(records=tuple(_record(row, moment) for row in taken))


def _claimable(rows: LogRows, operation: Claim, moment: LogMoment) -> Iterator[RecordRow]:
    """Yield what the claim asks for, whoever has it; stuck records only if named."""
    named = (rows.record(gid) for gid in dict.fromkeys(operation.gids))
    unfinished = (row for row in named if row is not None and not final(row.state))
    for row in unfinished if operation.gids else rows.due_records(moment.now_us):
        if not operation.definitions or row.definition in operation.definitions:
            yield row


# --- reading ------------------------------------------------------------------------------


def _load(rows: LogRows, operation: Load, moment: LogMoment) -> Listing:
    decision, record = rows.decision(operation.gid), rows.record(operation.gid)
    return Listing(
        () if decision is None else (_decision(decision, moment),),
        () if record is None else (_record(record, moment),),
    )


def _query(rows: LogRows, operation: Query, moment: LogMoment) -> Listing:
    """Answer one page in order of gid: both kinds together fill it, so one cursor serves."""
    limit = min(operation.limit, LIMIT_MAX)
    decisions = rows.list_decisions(operation.after, operation.unfinished, limit)
    records = rows.list_records(operation.after, operation.unfinished, limit)
    gids = {decision.gid for decision in decisions} | {record.gid for record in records}
    page = set(sorted(gids)[:limit])
    return Listing(
        tuple(_decision(row, moment) for row in decisions if row.gid in page),
        tuple(_record(row, moment) for row in records if row.gid in page),
    )


def _decision(row: DecisionRow, moment: LogMoment, fresh: bool = False) -> Decision:
    return Decision(
        row.gid,
        row.outcome,
        row.owner,
        row.epoch,
        row.branches,
        row.state,
        _age_ms(row.created_at_us, moment),
        row.evidence,
        fresh,
    )


def _record(row: RecordRow, moment: LogMoment, fresh: bool = False) -> Record:
    return Record(
        row.gid,
        row.kind,
        row.definition,
        row.payload,
        row.state,
        row.data,
        row.version,
        row.owner,
        row.epoch,
        # Rounded up: whoever waits this long finds it due.
        max(0, -((moment.now_us - row.due_us) // 1000)),
        _age_ms(row.created_at_us, moment),
        row.evidence,
        fresh,
    )


def _age_ms(created_at_us: int, moment: LogMoment) -> int:
    # The wall clock may have been set back since.
    return max(0, (moment.wall_us - created_at_us) // 1000)
