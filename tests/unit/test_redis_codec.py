"""Batches and results as they travel, without a server."""

from __future__ import annotations

import json

import pytest

from concordant.drivers.redis.codec import decode, decode_hint, encode
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
    View,
    WaiterView,
)

ODD = '\x00\n"\\ \x7f\u2028é\U0001f512\ud800'


def sent(*batch: Operation) -> list[object]:
    return json.loads(encode(batch).operations.decode("utf-8", "surrogatepass"))


def test_operations_travel_with_all_their_fields() -> None:
    fence = limits.FENCE_MAX
    assert sent(
        Acquire("a", "o.1", 100, True, 2, 3, "note"),
        Acquire("b", "o.2", 200),
        Confirm("a", "o.1", fence, 300),
        Renew("a", "o.1", fence, 400),
        Release("b", "o.2", fence),
        Cancel("a", "o.3"),
        Cancel("a", "o.4", late=True),
        Inspect("c"),
        Break("c"),
        Break("a", 7),
    ) == [
        [1, 1, "o.1", 100, 1, 2, 3, "note"],
        [1, 2, "o.2", 200, 0, 1, 1, ""],
        [2, 1, "o.1", fence, 300],
        [2, 1, "o.1", fence, 400],
        [3, 2, "o.2", fence],
        [4, 1, "o.3", 0],
        [4, 1, "o.4", 1],
        [5, 3],
        [6, 3, 0],
        [6, 1, 7],
    ]


def test_each_name_is_a_key_once() -> None:
    request = encode([Inspect("b"), Inspect("a"), Inspect("b")])
    assert request.names == ["b", "a"]
    assert json.loads(request.operations) == [[5, 1], [5, 2], [5, 1]]


@pytest.mark.parametrize("text", [*ODD, ODD])
def test_texts_travel_as_they_are(text: str) -> None:
    [[_, _, owner, *_, note]] = sent(Acquire("a", f"o.{text}", 100, note=text))
    assert (owner, note) == (f"o.{text}", text)


def test_what_is_malformed_stays_behind() -> None:
    batch = [Inspect("a"), Acquire("b", "o.1", 1), Inspect("c")]
    request = encode(batch)
    assert request.names == ["a", "c"]
    results = decode(b'R"one"\nR"two"', batch, request)
    assert results[0] == Refused("one")
    assert isinstance(results[1], Refused)
    assert "TTL" in results[1].reason
    assert results[2] == Refused("two")


def test_every_result_is_read() -> None:
    fence = limits.FENCE_MAX
    note = json.dumps(ODD, ensure_ascii=False)
    lines = {
        f"G{fence}": Granted(fence),
        "Q[3,2000]": Queued(3, 2000),
        "B1500": Busy(1500),
        'R"cancelled"': Refused("cancelled"),
        "H": Held(),
        "L": Lost(),
        "D": Released(),
        f'D[["o.1",{fence}],["o.2",8]]': Released((Handed("o.1", fence), Handed("o.2", 8))),
        'C"waiter"': Cancelled("waiter"),
        "K2": Broken(2),
        f'V[{fence},2,[["o.1",{fence},1,99,1,{note}],["o.2",7,1,5,0,""]],[["o.3",2,"n"]]]': View(
            "a",
            fence,
            2,
            (HolderView("o.1", fence, 1, 99, True, ODD), HolderView("o.2", 7, 1, 5, False, "")),
            (WaiterView("o.3", 2, "n"),),
        ),
    }
    reply = "\n".join(lines).encode("utf-8", "surrogatepass")
    batch = [Inspect("a")] * len(lines)
    assert decode(reply, batch, encode(batch)) == list(lines.values())


def test_a_hint_is_read_and_anything_else_is_none() -> None:
    message = json.dumps(["a\U0001f512", "o.1", limits.FENCE_MAX], ensure_ascii=False).encode()
    assert decode_hint(message) == Hint("a\U0001f512", "o.1", limits.FENCE_MAX)
    for other in (b"", b"hello", b"[1]", b'{"a":1}', b"null", b'["a","o.1","x"]', b"\xff"):
        assert decode_hint(other) is None
