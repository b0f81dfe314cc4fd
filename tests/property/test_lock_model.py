"""The lock model under any requests in any order: what must hold after every single one."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from concordant.locking import limits
from concordant.locking.codec import decode, encode
from concordant.locking.model import Decision, Holder, LockRecord, Moment, decide
from concordant.locking.operations import (
    Acquire,
    Break,
    Broken,
    Busy,
    Cancel,
    Cancelled,
    Confirm,
    Granted,
    Held,
    Inspect,
    Lost,
    Operation,
    Queued,
    Refused,
    Release,
    Released,
    Renew,
    View,
)

# Seconds of processes, waits or examples: more than daily use waits for.
pytestmark = pytest.mark.slow

CLIENTS = ("aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc")
OWNERS = [f"{client}.{number}" for client in CLIENTS for number in range(3)]
TTLS_MS = (limits.TTL_MIN_MS, 1000, 5000, 60_000)
# Steps of time that land before, on and after every bound of the model.
STEPS_US = (0, 1, 999, 1000, 50_000, 1_000_000, 1_999_999, 2_000_000, 5_000_000, 30_000_000)
WALL_US = 1_700_000_000_000_000

owners = st.sampled_from(OWNERS)
ttls = st.sampled_from(TTLS_MS)


class LockMachine(RuleBasedStateMachine):
    """One lock, asked by several owners of several clients while time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.record = LockRecord()
        self.now_us = 1_000_000
        self.wall_us = WALL_US
        self.fences: list[int] = []
        self.arrivals: dict[str, int] = {}
        self.arrived = 0

    @initialize(capacity=st.sampled_from([1, 1, 2, 3]), data=st.data())
    def choose(self, capacity: int, data: st.DataObject) -> None:
        """Fix the capacity, and how many permits each owner always asks for."""
        self.capacity = capacity
        sizes = st.integers(1, capacity)
        self.permits = {owner: data.draw(sizes, label=owner) for owner in OWNERS}

    # --- what is asked --------------------------------------------------------------------

    @rule(owner=owners, ttl_ms=ttls, wait=st.booleans())
    def acquire(self, owner: str, ttl_ms: int, wait: bool) -> None:
        request = Acquire("a", owner, ttl_ms, wait, self.permits[owner], self.capacity, "note")
        decision = self.ask(request)
        assert isinstance(decision.result, Granted | Queued | Busy | Refused)
        if not isinstance(decision.result, Busy):
            again = decide(decision.record, request, self.moment())
            assert (again.record, again.result) == (decision.record, decision.result)
            assert again.hints == ()

    @rule(owner=owners, other=st.integers(1, 4))
    def acquire_with_another_capacity(self, owner: str, other: int) -> None:
        before = self.promoted()
        permits = min(self.permits[owner], other)
        result = self.ask(Acquire("a", owner, 1000, True, permits, other)).result
        known = owner in {holder.owner for holder in before.holders}
        if (before.holders or before.waiters) and before.capacity != other and not known:
            assert isinstance(result, Refused)
        if self.record.capacity != self.capacity:
            # It was idle and has a new capacity now: all that follow agree on it.
            self.capacity = other
            self.permits = {owner: min(number, other) for owner, number in self.permits.items()}

    @rule(index=st.integers(0, 20), ttl_ms=ttls, wrong=st.booleans(), renew=st.booleans())
    def extend(self, index: int, ttl_ms: int, wrong: bool, renew: bool) -> None:
        owner, fence = self.some_grant(index, wrong)
        held = self.holds(owner, fence)
        result = self.ask((Renew if renew else Confirm)("a", owner, fence, ttl_ms)).result
        assert result == (Held() if held else Lost())
        if held:
            [holder] = [h for h in self.record.holders if h.fence == fence]
            assert holder.confirmed
            assert holder.expires_us == self.now_us + ttl_ms * 1000

    @rule(index=st.integers(0, 20), wrong=st.booleans())
    def release(self, index: int, wrong: bool) -> None:
        owner, fence = self.some_grant(index, wrong)
        held = self.holds(owner, fence)
        result = self.ask(Release("a", owner, fence)).result
        assert isinstance(result, Released if held else Lost)
        assert not self.holds(owner, fence)

    @rule(owner=owners, late=st.booleans())
    def cancel(self, owner: str, late: bool) -> None:
        result = self.ask(Cancel("a", owner, late)).result
        assert isinstance(result, Cancelled)
        roles = [*self.record.holders, *self.record.waiters]
        assert owner not in {role.owner for role in roles}
        if late:
            refused = decide(self.record, Acquire("a", owner, 1000, True), self.moment())
            assert refused.result == Refused("cancelled")

    @rule(index=st.integers(0, 20), everybody=st.booleans())
    def breaks(self, index: int, everybody: bool) -> None:
        before = self.promoted()
        fence = 0 if everybody else self.some_grant(index, False)[1]
        result = self.ask(Break("a", fence)).result
        hit = [h for h in before.holders if not fence or h.fence == fence]
        assert result == Broken(len(hit))
        assert not set(hit) & set(self.record.holders)

    @rule()
    def inspect(self) -> None:
        decision = decide(self.record, Inspect("a"), self.moment())
        assert (decision.record, decision.hints) == (self.record, ())
        shown, alive = decision.result, self.purged()
        assert isinstance(shown, View)
        assert [h.fence for h in shown.holders] == [h.fence for h in alive.holders]
        assert [w.owner for w in shown.waiters] == [w.owner for w in alive.waiters]
        assert all(holder.remaining_ms > 0 for holder in shown.holders)

    # --- what happens by itself -----------------------------------------------------------

    @rule(step_us=st.sampled_from(STEPS_US))
    def time_passes(self, step_us: int) -> None:
        self.now_us += step_us
        self.wall_us += step_us

    @rule(step_us=st.sampled_from((-WALL_US, -3_600_000_000, -1, 3_600_000_000)))
    def the_wall_clock_is_set(self, step_us: int) -> None:
        self.wall_us = max(0, self.wall_us + step_us)

    @rule()
    def the_record_is_stored_and_read(self) -> None:
        self.record = decode(encode(self.record))

    # --- what must hold -------------------------------------------------------------------

    def ask(self, operation: Operation) -> Decision:
        """Apply one operation to the lock, and check everything about the step."""
        before, moment = self.record, self.moment()
        decision = decide(before, operation, moment)
        self.record = decision.record
        self.check_new_grants(before, operation, decision)
        self.check_who_is_told(before, operation, decision)
        self.check_nobody_was_robbed(before, operation)
        self.check_waiting(decision)
        return decision

    def check_new_grants(self, before: LockRecord, operation: Operation, done: Decision) -> None:
        """Check that fences rise for ever and that nobody was overtaken."""
        queue = {waiter.owner for waiter in before.waiters}
        new = self.new_holders(before)
        for holder in new:
            assert holder.fence > max(self.fences, default=0)
            assert self.wall_us <= holder.fence <= limits.FENCE_MAX
            self.fences.append(holder.fence)
            # Whoever is not in the queue yet comes after all who are.
            place = self.arrivals.get(holder.owner, self.arrived + 1)
            for waiter in done.record.waiters:
                assert self.arrivals.get(waiter.owner, self.arrived + 1) > place
        for waiter in done.record.waiters:
            if waiter.owner not in queue:
                self.arrived += 1
                self.arrivals[waiter.owner] = self.arrived
        waiting = [waiter.owner for waiter in done.record.waiters]
        self.arrivals = {owner: self.arrivals[owner] for owner in waiting}
        assert waiting == sorted(waiting, key=lambda owner: self.arrivals[owner])

    def check_who_is_told(self, before: LockRecord, operation: Operation, done: Decision) -> None:
        """Check that each grant is told to its owner exactly once, and nothing else is."""
        told = [(hint.owner, hint.fence) for hint in done.hints]
        if isinstance(done.result, Released):
            told += [(handed.owner, handed.fence) for handed in done.result.handed]
            inside = {handed.fence for handed in done.result.handed}
            for holder in done.record.holders:
                assert holder.fence not in inside or holder.confirmed
        if isinstance(done.result, Granted):
            assert isinstance(operation, Acquire)
            told.append((operation.owner, done.result.fence))
            assert self.holds(operation.owner, done.result.fence)
        new = [(holder.owner, holder.fence) for holder in self.new_holders(before)]
        assert len(told) == len(set(told))
        # Asking again for what one has is told again; whoever was granted and evicted in
        # one and the same step may be told in vain.
        kept = {(holder.owner, holder.fence) for holder in before.holders}
        assert set(new) <= set(told)
        if not isinstance(operation, Break | Cancel | Release):
            assert set(told) - kept <= set(new)

    def check_nobody_was_robbed(self, before: LockRecord, operation: Operation) -> None:
        """Check that a grant ends by expiry, by its owner's own act, or by an administrator."""
        left = {holder.fence for holder in self.record.holders}
        for holder in before.holders:
            if holder.fence in left or holder.expires_us <= self.now_us:
                continue
            match operation:
                case Release(_, owner, fence):
                    assert (owner, fence) == (holder.owner, holder.fence)
                case Cancel(_, owner, _):
                    assert owner == holder.owner
                case Break(_, fence):
                    assert fence in (0, holder.fence)
                case _:
                    raise AssertionError(f"{operation} ended {holder}")

    def check_waiting(self, done: Decision) -> None:
        """Check that whoever has to wait is told when to ask again, in time."""
        match done.result:
            case Queued(position, retry_ms):
                assert 0 <= position < len(done.record.waiters)
                assert 1 <= retry_ms <= limits.RETRY_MAX_MS
            case Busy(retry_ms):
                assert 1 <= retry_ms <= limits.RETRY_STEP_MS

    @invariant()
    def permits_are_never_exceeded(self) -> None:
        alive = self.purged()
        assert sum(holder.permits for holder in alive.holders) <= alive.capacity

    @invariant()
    def nobody_has_two_roles(self) -> None:
        roles = [*self.record.holders, *self.record.waiters, *self.record.tombstones]
        names = [role.owner for role in roles]
        assert len(names) == len(set(names))
        assert len(self.record.tombstones) <= limits.TOMBSTONES_MAX

    @invariant()
    def nothing_is_lost_in_storage(self) -> None:
        assert decode(encode(self.record)) == self.record

    @precondition(lambda self: self.record.waiters)
    @invariant()
    def nobody_waits_for_free_permits(self) -> None:
        # By the record as it was left: time that passed since is seen at the next request.
        free = self.record.capacity - sum(holder.permits for holder in self.record.holders)
        assert self.record.waiters[0].permits > free

    @rule(ttl_ms=ttls)
    def one_that_goes_on_asking_is_served(self, ttl_ms: int) -> None:
        """Let everybody else fall silent; ask when told to, and be granted within bounds."""
        record, now_us, asker = self.record, self.now_us, "dddddddddddddddd.1"
        expiries = [h.expires_us for h in record.holders] + [w.expires_us for w in record.waiters]
        patience_us = (limits.CONFIRM_MS + limits.RETRY_MAX_MS) * 1000
        bound_us = max([now_us, *expiries]) + patience_us
        request = Acquire("a", asker, ttl_ms, True, record.capacity, record.capacity)
        while True:
            decision = decide(record, request, Moment(now_us, self.wall_us))
            if isinstance(decision.result, Granted):
                break
            assert isinstance(decision.result, Queued)
            record = decision.record
            now_us += decision.result.retry_ms * 1000
            assert now_us <= bound_us

    # --- helpers --------------------------------------------------------------------------

    def moment(self) -> Moment:
        return Moment(self.now_us, self.wall_us)

    def purged(self) -> LockRecord:
        now = self.now_us
        return LockRecord(
            self.record.fence,
            self.record.capacity,
            tuple(holder for holder in self.record.holders if holder.expires_us > now),
            tuple(waiter for waiter in self.record.waiters if waiter.expires_us > now),
        )

    def promoted(self) -> LockRecord:
        """Return the record after what any request does first, asked by a stranger."""
        return decide(self.record, Cancel("a", "eeeeeeeeeeeeeeee.1"), self.moment()).record

    def holds(self, owner: str, fence: int) -> bool:
        return any((h.owner, h.fence) == (owner, fence) for h in self.purged().holders)

    def new_holders(self, before: LockRecord) -> list[Holder]:
        known = {holder.fence for holder in before.holders}
        new = [holder for holder in self.record.holders if holder.fence not in known]
        return sorted(new, key=lambda holder: holder.fence)

    def some_grant(self, index: int, wrong: bool) -> tuple[str, int]:
        """Return the owner and fence of some holder, or a pair that holds nothing."""
        if not self.record.holders:
            return OWNERS[index % len(OWNERS)], self.record.fence
        holder = self.record.holders[index % len(self.record.holders)]
        if not wrong:
            return holder.owner, holder.fence
        other = OWNERS[index % len(OWNERS)]
        return (other, holder.fence) if other != holder.owner else (other, holder.fence + 1)


LockMachine.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestLockModel = LockMachine.TestCase
