# Generated from tests/contract/aio/test_aio_lock_store_batches.py by tools/unasync.py; do not edit.
"""The lock store's contract: batches, names, and what is malformed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from concordant.drivers.base import LockStore
from concordant.errors import UsageError
from concordant.locking import limits
from concordant.locking.operations import (
    Acquire,
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
from tests.contract.parties import strangers
from tests.contract.sync.asking import TTL_MS, ask, grab, holders, look, queue
from tests.provision.bridge import at_once

LONGEST = "ü" * (limits.NAME_BYTES_MAX // 2)

# Pairs that some folding or other would take for one name.
ALIKE = [
    ("lock-2", "lock-137"),
    ("lock", "Lock"),
    ("lock", "lock "),
    ("caf\u00e9", "cafe\u0301"),
    ("\u212a", "K"),
    ("a:b", "a"),
    ("{a}b", "{a}c"),
    ("a%", "ab"),
    ("a_", "ab"),
    ("1", "01"),
    ("x" * 63 + "a", "x" * 63 + "b"),
    ("x" * 255 + "a", "x" * 255 + "b"),
    (LONGEST, LONGEST[:-1] + "ö"),
]


def test_an_empty_batch_is_answered(store: LockStore) -> None:
    assert store.apply([]) == []


def test_each_item_of_a_mixed_batch_gets_its_own_answer(store: LockStore) -> None:
    holder, waiter, other, late = strangers(4)
    fence = grab(store, "held", holder)
    results = store.apply(
        [
            Acquire("held", other, TTL_MS),
            Acquire("held", waiter, TTL_MS, wait=True),
            Acquire("held", other, TTL_MS, capacity=2),
            Renew("held", holder, fence, TTL_MS),
            Renew("held", other, fence, TTL_MS),
            Cancel("late", late, late=True),
            Acquire("late", late, TTL_MS),
            Acquire("free", other, TTL_MS),
            Release("free", other, 1),
            Inspect("held"),
        ]
    )
    kinds = [Busy, Queued, Refused, Held, Lost, Cancelled, Refused, Granted, Lost, View]
    assert [type(result) for result in results] == kinds
    assert holders(store, "held") == [holder]
    assert holders(store, "free") == [other]


def test_what_is_asked_of_one_name_happens_in_order(store: LockStore) -> None:
    owners = strangers(3)
    asked: list[Operation] = []
    for owner in owners:
        asked += [Acquire("a", owner, TTL_MS), Cancel("a", owner)]
    results = store.apply([*asked, Acquire("a", owners[0], TTL_MS)])
    assert [type(result) for result in results] == [Granted, Cancelled] * 3 + [Granted]
    fences = [result.fence for result in results if isinstance(result, Granted)]
    assert fences == sorted(set(fences))
    assert [r.was for r in results if isinstance(r, Cancelled)] == ["holder"] * 3


def test_a_hand_over_happens_in_the_middle_of_a_batch(store: LockStore) -> None:
    first, second = strangers(2)
    fence = grab(store, "a", first)
    results = store.apply(
        [
            Acquire("a", second, TTL_MS, wait=True),
            Release("a", first, fence),
            Acquire("a", second, TTL_MS, wait=True),
        ]
    )
    assert [type(result) for result in results] == [Queued, Released, Granted]
    assert holders(store, "a") == [second]


def test_the_largest_batch_is_applied_whole(store: LockStore) -> None:
    owners = strangers(limits.BATCH_MAX)
    names = [f"lock-{number}" for number in range(limits.BATCH_MAX)]
    results = store.apply(
        [Acquire(name, owner, TTL_MS) for name, owner in zip(names, owners, strict=True)]
    )
    assert {type(result) for result in results} == {Granted}
    views = store.apply([Inspect(name) for name in names])
    for view, name, owner, result in zip(views, names, owners, results, strict=True):
        assert isinstance(view, View)
        assert isinstance(result, Granted)
        assert view.name == name
        assert [(h.owner, h.fence) for h in view.holders] == [(owner, result.fence)]


def test_the_largest_batch_on_one_name_is_a_queue(store: LockStore) -> None:
    owners = strangers(limits.BATCH_MAX)
    results = store.apply([Acquire("a", owner, TTL_MS, wait=True) for owner in owners])
    assert isinstance(results[0], Granted)
    places = [result.position for result in results if isinstance(result, Queued)]
    assert places == list(range(limits.BATCH_MAX - 1))
    assert [waiter.owner for waiter in (look(store, "a")).waiters] == owners[1:]


def test_a_larger_batch_is_refused_whole(store: LockStore) -> None:
    owners = strangers(limits.BATCH_MAX + 1)
    with pytest.raises(UsageError, match="256"):
        store.apply([Acquire(owner, owner, TTL_MS) for owner in owners])
    assert store.names() == []


MALFORMED: dict[str, Callable[[str], Operation]] = {
    "ttl too short": lambda owner: Acquire("bad", owner, limits.TTL_MIN_MS - 1),
    "ttl of zero": lambda owner: Acquire("bad", owner, 0),
    "ttl negative": lambda owner: Acquire("bad", owner, -1),
    "ttl too long": lambda owner: Acquire("bad", owner, limits.TTL_MAX_MS + 1),
    "confirm ttl too short": lambda owner: Confirm("bad", owner, 1, limits.TTL_MIN_MS - 1),
    "renew ttl too long": lambda owner: Renew("bad", owner, 1, limits.TTL_MAX_MS + 1),
    "no permits": lambda owner: Acquire("bad", owner, TTL_MS, permits=0),
    "too many permits": lambda owner: Acquire("bad", owner, TTL_MS, permits=3, capacity=2),
    "capacity too large": lambda owner: Acquire(
        "bad", owner, TTL_MS, capacity=limits.CAPACITY_MAX + 1
    ),
    "note too long": lambda owner: Acquire(
        "bad", owner, TTL_MS, note="ü" * (limits.NOTE_BYTES_MAX // 2) + "x"
    ),
    "name empty": lambda owner: Acquire("", owner, TTL_MS),
    "name too long": lambda owner: Acquire(LONGEST + "x", owner, TTL_MS),
    "name with a control character": lambda owner: Acquire("a\0b", owner, TTL_MS),
    "name that is not Unicode": lambda owner: Acquire("\ud800", owner, TTL_MS),
    "inspect of a bad name": lambda _: Inspect("a\nb"),
    "release of a bad name": lambda owner: Release("a\x7f", owner, 1),
}


@pytest.mark.parametrize("what", list(MALFORMED))
def test_a_malformed_item_is_refused_and_its_neighbours_are_not(
    store: LockStore, what: str
) -> None:
    good, bad, last = strangers(3)
    malformed = MALFORMED[what](bad)
    results = store.apply([Acquire("good", good, TTL_MS), malformed, Acquire("last", last, TTL_MS)])
    assert [type(result) for result in results] == [Granted, Refused, Granted]
    assert isinstance(results[1], Refused)
    assert results[1].reason
    assert store.names() == ["good", "last"]


def test_a_malformed_item_changes_nothing_of_a_lock_in_use(store: LockStore) -> None:
    holder, waiter = strangers(2)
    fence = grab(store, "a", holder)
    queue(store, "a", waiter)
    before = look(store, "a")
    results = store.apply(
        [
            Acquire("a", waiter, 0, wait=True),
            Acquire("a", holder, limits.TTL_MAX_MS + 1),
            Renew("a", holder, fence, 0),
            Confirm("a", holder, fence, -5),
        ]
    )
    assert [type(result) for result in results] == [Refused] * 4
    after = look(store, "a")
    assert after.waiters == before.waiters
    assert [(h.owner, h.fence) for h in after.holders] == [(holder, fence)]
    assert after.holders[0].remaining_ms <= before.holders[0].remaining_ms


@pytest.mark.parametrize("ttl_ms", [limits.TTL_MIN_MS, limits.TTL_MAX_MS])
def test_the_bounds_themselves_are_allowed(store: LockStore, ttl_ms: int) -> None:
    [owner] = strangers(1)
    note = "ü" * (limits.NOTE_BYTES_MAX // 2)
    largest = limits.CAPACITY_MAX
    result = ask(
        store, Acquire(LONGEST, owner, ttl_ms, permits=largest, capacity=largest, note=note)
    )
    assert isinstance(result, Granted)


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_names_are_kept_whole_and_apart(store: LockStore, one: str, other: str) -> None:
    first, second = strangers(2)
    fence = grab(store, one, first)
    grab(store, other, second)
    assert holders(store, one) == [first]
    assert holders(store, other) == [second]
    assert ask(store, Release(other, first, fence)) == Lost()
    assert set(store.names()) == {one, other}
    assert (look(store, one)).name == one


def test_names_lists_what_is_held_or_waited_for(store: LockStore) -> None:
    holder, waiter, gone = strangers(3)
    grab(store, "held", holder)
    grab(store, "queued", holder)
    queue(store, "queued", waiter)
    fence = grab(store, "released", holder)
    ask(store, Release("released", holder, fence))
    ask(store, Cancel("cancelled", gone, late=True))
    ask(store, Inspect("looked-at"))
    assert store.names() == ["held", "queued"]


def test_names_come_in_pages_in_order(store: LockStore) -> None:
    names = ["a", "B", "aa", "a b", "é", "z", "\U0001f512", "\uffee", "10", "9"]
    owners = strangers(len(names))
    store.apply([Acquire(n, o, TTL_MS) for n, o in zip(names, owners, strict=True)])
    found: list[str] = []
    page = store.names(limit=3)
    while page:
        assert len(page) <= 3
        found += page
        page = store.names(after=found[-1], limit=3)
    assert found == sorted(names)
    assert store.names() == sorted(names)
    assert store.names(after="a") == [name for name in sorted(names) if name > "a"]
    # Past a name that is not there.
    assert store.names(after="a!", limit=1) == ["aa"]


def test_many_at_once_get_one_grant(store: LockStore) -> None:
    owners = strangers(12)
    results = at_once(
        [lambda owner=owner: ask(store, Acquire("a", owner, TTL_MS)) for owner in owners]
    )
    assert [type(result) for result in results].count(Granted) == 1
    [holder] = holders(store, "a")
    assert isinstance(results[owners.index(holder)], Granted)


def test_the_same_request_many_times_at_once_is_one_grant(store: LockStore) -> None:
    [owner] = strangers(1)
    request = Acquire("a", owner, TTL_MS, wait=True)
    results = at_once([lambda: ask(store, request)] * 8)
    assert len(set(results)) == 1
    assert isinstance(results[0], Granted)
    assert holders(store, "a") == [owner]
