"""Jump hash by example: buckets have numbers, and only the last may leave."""

from __future__ import annotations

import json
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import IntJump, Jump, Memento, Node
from concordant.placement.functions.jump_lookup import each_once, jump
from concordant.placement.hashing.mixing import MASK, mix

FOUR = [Node(node_id) for node_id in "abcd"]
POSITIONS = [mix(number) for number in range(600)]


def test_buckets_that_are_added_take_keys_and_move_no_others() -> None:
    before = [0] * len(POSITIONS)
    for count in range(1, 40):
        now = [jump(position, count) for position in POSITIONS]
        assert all(new in (old, count - 1) for old, new in zip(before, now, strict=True))
        before = now
    assert max(before.count(bucket) for bucket in range(39)) < 3 * 600 / 39
    assert (jump(MASK, 1), jump(0, 1)) == (0, 0)


def test_at_first_buckets_are_numbered_by_id_or_as_they_are_listed() -> None:
    assert Jump(FOUR[::-1]).buckets == ("a", "b", "c", "d")
    assert Jump(FOUR, buckets=["d", "a", "c", "b"]).buckets == ("d", "a", "c", "b")
    assert Jump(FOUR, buckets=("d", "a", "c", "b")).node("k").id in "abcd"


@pytest.mark.parametrize(
    "buckets", [[], ["a"], ["a", "b", "c", "c"], ["a", "b", "c", "x"], "abcd", {"a"}, [1, 2, 3, 4]]
)
def test_buckets_that_are_not_the_nodes_are_refused(buckets: Any) -> None:
    with pytest.raises(UsageError, match="buckets must"):
        Jump(FOUR, buckets=buckets)
    told = {**json.loads(Jump(FOUR).to_json()), "fingerprint": None}
    if not isinstance(buckets, set):
        with pytest.raises(UsageError):
            Jump.from_json(json.dumps({**told, "buckets": buckets}))


def test_who_joins_comes_last_or_takes_the_place_of_who_leaves() -> None:
    old = Jump(FOUR)
    assert old.with_nodes(add=[Node("f"), Node("_")]).buckets == ("a", "b", "c", "d", "_", "f")
    assert old.with_nodes(remove=["b"], add=[Node("x")]).buckets == ("a", "x", "c", "d")
    assert old.with_nodes(remove=["d"], add=[Node("x")]).buckets == ("a", "b", "c", "x")
    assert old.with_nodes(remove=["a", "c"], add=[Node("x"), Node("y"), Node("z")]).buckets == (
        *("x", "b", "y", "d", "z"),
    )
    assert old.with_nodes(remove=["d", "c"]).buckets == ("a", "b")
    assert old.with_nodes(remove=["d", "b"], add=[Node("x")]).buckets == ("a", "x", "c")
    for gone in (["a"], ["c"], ["c", "b"], ["d", "b"], ["a", "b", "c"]):
        with pytest.raises(UsageError, match="use Memento"):
            old.with_nodes(remove=gone)


def test_a_replaced_node_hands_over_its_keys_and_no_others_move() -> None:
    old = Jump(FOUR)
    new = old.with_nodes(remove=["b"], add=[Node("x")])
    moved = old.plan(new).moves(range(99))
    assert {(from_id, to_id) for _, from_id, to_id in moved} == {("b", "x")}
    assert [key for key, _, _ in moved] == [key for key in range(99) if old.node(key).id == "b"]


def test_replicas_are_all_buckets_even_if_tries_run_out() -> None:
    assert list(each_once(7, range(5), lambda _: 3)) == [3, 0, 1, 2, 4]
    assert list(each_once(7, [], lambda _: 3)) == []


def test_a_hash_is_its_own_position() -> None:
    placement = IntJump(FOUR)
    for position in POSITIONS[:50]:
        assert placement.node(position).id == "abcd"[jump(position, 4)]
    assert placement.hash_name == "int"
    assert placement != Jump(FOUR)
    key: Any
    for key in ("1", b"1", True, 1.0, None):
        with pytest.raises(UsageError):
            placement.nodes(key, 1)


def test_a_longer_list_of_numbered_nodes_begins_with_the_shorter_one() -> None:
    for kind in (Jump, Memento):
        nine, ten = (kind(Node(f"shard-{number}") for number in range(count)) for count in (10, 11))
        assert ten == nine.with_nodes(add=[Node("shard-10")])
        assert ten.buckets == tuple(f"shard-{number}" for number in range(11))
    assert Jump(
        [Node("a-02"), Node("a-2"), Node("a-1"), Node("a"), Node("10"), Node("b-1")]
    ).buckets == (*("10", "a", "a-1", "a-02", "a-2", "b-1"),)
