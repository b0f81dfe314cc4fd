"""The lock store's contract: batches, names, and what is malformed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from concordant.drivers.base import AsyncLockStore
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
from tests.contract.aio.asking import TTL_MS, ask, grab, holders, look, queue
from tests.contract.parties import strangers
from tests.provision.bridge import async_at_once

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


async def test_an_empty_batch_is_answered(store: AsyncLockStore) -> None:
    assert await store.apply([]) == []


async def test_each_item_of_a_mixed_batch_gets_its_own_answer(store: AsyncLockStore) -> None:
    holder, waiter, other, late = strangers(4)
    fence = await grab(store, "held", holder)
    results = await store.apply(
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
    assert await holders(store, "held") == [holder]
    assert await holders(store, "free") == [other]


async def test_what_is_asked_of_one_name_happens_in_order(store: AsyncLockStore) -> None:
    owners = strangers(3)
    asked: list[Operation] = []
    for owner in owners:
        asked += [Acquire("a", owner, TTL_MS), Cancel("a", owner)]
    results = await store.apply([*asked, Acquire("a", owners[0], TTL_MS)])
    assert [type(result) for result in results] == [Granted, Cancelled] * 3 + [Granted]
    fences = [result.fence for result in results if isinstance(result, Granted)]
    assert fences == sorted(set(fences))
    assert [r.was for r in results if isinstance(r, Cancelled)] == ["holder"] * 3


async def test_a_hand_over_happens_in_the_middle_of_a_batch(store: AsyncLockStore) -> None:
    first, second = strangers(2)
    fence = await grab(store, "a", first)
    results = await store.apply(
        [
            Acquire("a", second, TTL_MS, wait=True),
            Release("a", first, fence),
            Acquire("a", second, TTL_MS, wait=True),
        ]
    )
    assert [type(result) for result in results] == [Queued, Released, Granted]
    assert await holders(store, "a") == [second]


async def test_the_largest_batch_is_applied_whole(store: AsyncLockStore) -> None:
    owners = strangers(limits.BATCH_MAX)
    names = [f"lock-{number}" for number in range(limits.BATCH_MAX)]
    results = await store.apply(
        [Acquire(name, owner, TTL_MS) for name, owner in zip(names, owners, strict=True)]
    )
    assert {type(result) for result in results} == {Granted}
    views = await store.apply([Inspect(name) for name in names])
    for view, name, owner, result in zip(views, names, owners, results, strict=True):
        assert isinstance(view, View)
        assert isinstance(result, Granted)
        assert view.name == name
        assert [(h.owner, h.fence) for h in view.holders] == [(owner, result.fence)]


async def test_the_largest_batch_on_one_name_is_a_queue(store: AsyncLockStore) -> None:
    owners = strangers(limits.BATCH_MAX)
    results = await store.apply([Acquire("a", owner, TTL_MS, wait=True) for owner in owners])
    assert isinstance(results[0], Granted)
    places = [result.position for result in results if isinstance(result, Queued)]
    assert places == list(range(limits.BATCH_MAX - 1))
    assert [waiter.owner for waiter in (await look(store, "a")).waiters] == owners[1:]


async def test_a_larger_batch_is_refused_whole(store: AsyncLockStore) -> None:
    owners = strangers(limits.BATCH_MAX + 1)
    with pytest.raises(UsageError, match="256"):
        await store.apply([Acquire(owner, owner, TTL_MS) for owner in owners])
    assert await store.names() == []


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
async def test_a_malformed_item_is_refused_and_its_neighbours_are_not(
    store: AsyncLockStore, what: str
) -> None:
    good, bad, last = strangers(3)
    malformed = MALFORMED[what](bad)
    results = await store.apply(
        [Acquire("good", good, TTL_MS), malformed, Acquire("last", last, TTL_MS)]
    )
    assert [type(result) for result in results] == [Granted, Refused, Granted]
    assert isinstance(results[1], Refused)
    assert results[1].reason
    assert await store.names() == ["good", "last"]


async def test_a_malformed_item_changes_nothing_of_a_lock_in_use(store: AsyncLockStore) -> None:
    holder, waiter = strangers(2)
    fence = await grab(store, "a", holder)
    await queue(store, "a", waiter)
    before = await look(store, "a")
    results = await store.apply(
        [
            Acquire("a", waiter, 0, wait=True),
            Acquire("a", holder, limits.TTL_MAX_MS + 1),
            Renew("a", holder, fence, 0),
            Confirm("a", holder, fence, -5),
        ]
    )
    assert [type(result) for result in results] == [Refused] * 4
    after = await look(store, "a")
    assert after.waiters == before.waiters
    assert [(h.owner, h.fence) for h in after.holders] == [(holder, fence)]
    assert after.holders[0].remaining_ms <= before.holders[0].remaining_ms


@pytest.mark.parametrize("ttl_ms", [limits.TTL_MIN_MS, limits.TTL_MAX_MS])
async def test_the_bounds_themselves_are_allowed(store: AsyncLockStore, ttl_ms: int) -> None:
    [owner] = strangers(1)
    note = "ü" * (limits.NOTE_BYTES_MAX // 2)
    largest = limits.CAPACITY_MAX
    result = await ask(
        store, Acquire(LONGEST, owner, ttl_ms, permits=largest, capacity=largest, note=note)
    )
    assert isinstance(result, Granted)


@pytest.mark.parametrize(("one", "other"), ALIKE)
async def test_names_are_kept_whole_and_apart(store: AsyncLockStore, one: str, other: str) -> None:
    first, second = strangers(2)
    fence = await grab(store, one, first)
    await grab(store, other, second)
    assert await holders(store, one) == [first]
    assert await holders(store, other) == [second]
    assert await ask(store, Release(other, first, fence)) == Lost()
    assert set(await store.names()) == {one, other}
    assert (await look(store, one)).name == one


async def test_names_lists_what_is_held_or_waited_for(store: AsyncLockStore) -> None:
    holder, waiter, gone = strangers(3)
    await grab(store, "held", holder)
    await grab(store, "queued", holder)
    await queue(store, "queued", waiter)
    fence = await grab(store, "released", holder)
    await ask(store, Release("released", holder, fence))
    await ask(store, Cancel("cancelled", gone, late=True))
    await ask(store, Inspect("looked-at"))
    assert await store.names() == ["held", "queued"]


async def test_names_come_in_pages_in_order(store: AsyncLockStore) -> None:
    names = ["a", "B", "aa", "a b", "é", "z", "\U0001f512", "\uffee", "10", "9"]
    owners = strangers(len(names))
    await store.apply([Acquire(n, o, TTL_MS) for n, o in zip(names, owners, strict=True)])
    found: list[str] = []
    page = await store.names(limit=3)
    while page:
        assert len(page) <= 3
        found += page
        page = await store.names(after=found[-1], limit=3)
    assert found == sorted(names)
    assert await store.names() == sorted(names)
    assert await store.names(after="a") == [name for name in sorted(names) if name > "a"]
    # Past a name that is not there.
    assert await store.names(after="a!", limit=1) == ["aa"]


async def test_many_at_once_get_one_grant(store: AsyncLockStore) -> None:
    owners = strangers(12)
    results = await async_at_once(
        [lambda owner=owner: ask(store, Acquire("a", owner, TTL_MS)) for owner in owners]
    )
    assert [type(result) for result in results].count(Granted) == 1
    [holder] = await holders(store, "a")
    assert isinstance(results[owners.index(holder)], Granted)


async def test_the_same_request_many_times_at_once_is_one_grant(store: AsyncLockStore) -> None:
    [owner] = strangers(1)
    request = Acquire("a", owner, TTL_MS, wait=True)
    results = await async_at_once([lambda: ask(store, request)] * 8)
    assert len(set(results)) == 1
    assert isinstance(results[0], Granted)
    assert await holders(store, "a") == [owner]
