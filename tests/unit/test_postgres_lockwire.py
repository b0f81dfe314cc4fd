"""Lock operations as JSON and their answers back, without a server."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from concordant.drivers.postgres import schema
from concordant.drivers.postgres.lockwire import LIMITS, decode, encode, hint
from concordant.locking import limits
from concordant.locking.operations import (
    Acquire,
    Break,
    Broken,
    Busy,
    Cancel,
    Cancelled,
    Confirm,
    Granted,
    Handed,
    Held,
    Hint,
    HolderView,
    Inspect,
    Lost,
    Operation,
    Queued,
    Refused,
    Release,
    Released,
    Renew,
    Result,
    View,
    WaiterView,
)

NOW_US = 1_700_000_000_000_000
OWNER = "aaaaaaaaaaaaaaaa.1"
ODD = "é\U0001f512 '\"\\\n\t\x00 \ud800 %s {}"

REQUESTS: list[tuple[Operation, dict[str, Any]]] = [
    (
        Acquire("n", OWNER, 1000, True, 2, 3, "who"),
        {
            "op": "acquire",
            "name": "n",
            "owner": OWNER,
            "ttl_ms": 1000,
            "wait": True,
            "permits": 2,
            "capacity": 3,
            "note": "who",
        },
    ),
    (
        Confirm("n", OWNER, 5, 1000),
        {"op": "confirm", "name": "n", "owner": OWNER, "fence": 5, "ttl_ms": 1000},
    ),
    (
        Renew("n", OWNER, 2**53 - 1, 1000),
        {"op": "renew", "name": "n", "owner": OWNER, "fence": 2**53 - 1, "ttl_ms": 1000},
    ),
    (Release("n", OWNER, 5), {"op": "release", "name": "n", "owner": OWNER, "fence": 5}),
    (Cancel("n", OWNER, True), {"op": "cancel", "name": "n", "owner": OWNER, "late": True}),
    (Inspect("n"), {"op": "inspect", "name": "n"}),
    (Break("n", 2**70), {"op": "break", "name": "n", "fence": 2**70}),
]

ANSWERS: list[tuple[list[Any], Result]] = [
    (["granted", 7], Granted(7)),
    (["queued", 3, 2000], Queued(3, 2000)),
    (["busy", 17], Busy(17)),
    (["refused", "cancelled"], Refused("cancelled")),
    (["held"], Held()),
    (["lost"], Lost()),
    (["released", []], Released()),
    (["released", [["b.1", 8], ["b.2", 9]]], Released((Handed("b.1", 8), Handed("b.2", 9)))),
    (["cancelled", "waiter"], Cancelled("waiter")),
    (["broken", 2], Broken(2)),
]


@pytest.mark.parametrize(("operation", "row"), REQUESTS)
def test_a_request_is_its_verb_and_its_fields(operation: Operation, row: dict[str, Any]) -> None:
    assert json.loads(encode([operation])) == [row]


@pytest.mark.parametrize(("row", "result"), ANSWERS)
def test_an_answer_is_read(row: list[Any], result: Result) -> None:
    assert decode([Inspect("n")], (NOW_US, [row])) == [result]


def test_answers_come_in_the_order_of_the_requests() -> None:
    operations = [operation for operation, _ in REQUESTS]
    rows = [["granted", number] for number in range(len(operations))]
    expected = [Granted(number) for number in range(len(operations))]
    assert decode(operations, (NOW_US, rows)) == expected


@pytest.mark.parametrize("rows", [[], [["held"], ["held"]]])
def test_an_answer_too_many_or_too_few_is_an_error(rows: list[Any]) -> None:
    with pytest.raises(ValueError):
        decode([Inspect("n")], (NOW_US, rows))


def test_an_answer_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(ValueError, match="answered"):
        decode([Inspect("n")], (NOW_US, [["granted"]]))


def test_a_view_tells_what_is_left_by_the_databases_clock() -> None:
    lock = {
        "f": 9,
        "c": 3,
        "h": [
            [OWNER, 8, 1, 1000, NOW_US + 1_000_001, True, "who"],
            ["b.1", 9, 2, 500, NOW_US - 1, False, ""],
        ],
        "w": [["c.1", 3, 1000, NOW_US + 5, "waits"]],
        "t": [["d.1", NOW_US]],
    }
    assert decode([Inspect("n")], (NOW_US, [["view", lock]])) == [
        View(
            "n",
            9,
            3,
            # Rounded up: whoever waits this long finds it expired.
            (HolderView(OWNER, 8, 1, 1001, True, "who"), HolderView("b.1", 9, 2, 0, False, "")),
            (WaiterView("c.1", 3, "waits"),),
        )
    ]


@pytest.mark.parametrize("note", ["", "pid 7 on host: x", ODD, "\\", '"', "\\u0000"])
def test_every_note_comes_back_and_is_text_to_the_database(note: str) -> None:
    [row] = json.loads(encode([Acquire("n", OWNER, 1000, note=note)]))
    kept = row["note"]
    # jsonb takes neither of these, and one bad note would fail the whole batch.
    assert "\0" not in kept
    kept.encode("utf-8")
    lock = {"f": 1, "c": 1, "h": [[OWNER, 1, 1, 1000, NOW_US, True, kept]], "w": [], "t": []}
    [view] = decode([Inspect("n")], (NOW_US, [["view", lock]]))
    assert isinstance(view, View)
    assert view.holders[0].note == note


def test_the_limits_are_the_models() -> None:
    assert json.loads(LIMITS) == {
        "confirm_ms": limits.CONFIRM_MS,
        "waiter_ms": limits.WAITER_MS,
        "step_ms": limits.RETRY_STEP_MS,
        "retry_ms": limits.RETRY_MAX_MS,
        "tombstone_ms": limits.TOMBSTONE_MS,
        "tombstones": limits.TOMBSTONES_MAX,
    }


def test_a_hint_is_read() -> None:
    assert hint(json.dumps(["a\u2028b", OWNER, 5])) == Hint("a\u2028b", OWNER, 5)


@pytest.mark.parametrize("payload", ["", "x", "5", "[]", '["a", "b"]', '["a", "b", 1, 2]'])
def test_what_is_no_hint_is_an_error(payload: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        hint(payload)


def test_the_functions_carry_a_digest_of_all_of_their_text() -> None:
    text, version = schema.lock_functions()
    for name in (
        "concordant_lock_promote",
        "concordant_lock_purge",
        "concordant_lock_step",
        "concordant_lock_extend",
        "concordant_lock_apply",
        "concordant_lock_forget",
    ):
        assert text.count(f"CREATE OR REPLACE FUNCTION {name}(") == 1
    assert re.fullmatch("concordant schema 1, functions [0-9a-f]{16}", version)
    assert schema.lock_functions() == (text, version)
