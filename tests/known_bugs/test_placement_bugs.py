"""What users of other placement libraries ran into, asked of every algorithm of ours."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from decimal import Decimal, localcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from concordant.errors import CapacityExceeded, UsageError
from concordant.placement import Node, Placement, assign
from concordant.placement.functions.rendezvous_lookup import distance, log_table
from concordant.placement.placement_json import ALGORITHMS
from tests.known_bugs.placements import (
    EQUAL,
    KEYS,
    MAKERS,
    WEIGHTED,
    A,
    B,
    C,
    D,
    joined,
    owners,
    placed,
    without,
)

ROOT = Path(__file__).resolve().parents[2]
EVERY = pytest.mark.parametrize("name", MAKERS)


def of(*names: str) -> Any:
    return pytest.mark.parametrize("name", names)


def but(*names: str) -> Any:
    return of(*(name for name in MAKERS if name not in names))


def test_no_algorithm_is_left_out() -> None:
    assert {name.replace("_", "-") for name in MAKERS} == set(ALGORITHMS)


@EVERY
def test_the_order_in_which_nodes_are_given_says_nothing(name: str) -> None:
    one, other = placed(name, [A, B, C, D]), placed(name, [C, A, D, B])
    assert one == other
    assert owners(one) == owners(other)
    for key in KEYS[:200]:
        assert one.nodes(key, 4) == other.nodes(key, 4)


SCRIPT = """
import json
from tests.known_bugs.placements import KEYS, MAKERS, A, B, C, D, placed
said = {}
for name in MAKERS:
    placement = placed(name, {A, B, C, D})
    lists = [[node.id for node in placement.nodes(key, 3)] for key in KEYS[:100]]
    said[name] = [placement.fingerprint(), lists]
print(json.dumps(said))
"""


@lru_cache
def said_under(seed: str) -> dict[str, Any]:
    env = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@EVERY
def test_another_process_places_alike_whatever_its_hash_seed(name: str) -> None:
    placement = placed(name, [A, B, C, D])
    lists = [[node.id for node in placement.nodes(key, 3)] for key in KEYS[:100]]
    for seed in ("0", "4711"):
        assert said_under(seed)[name] == [placement.fingerprint(), lists]


@EVERY
def test_an_address_is_no_name(name: str) -> None:
    plain = MAKERS[name]([Node(A), Node(B), Node(C)])
    moved = MAKERS[name]([Node(A, address="10.9.9.9:1"), Node(B, zone="z"), Node(C)])
    assert plain == moved
    assert owners(plain) == owners(moved)
    assert {node.id for node in moved.node_many(KEYS)} == {A, B, C}


@but("int_jump")
def test_text_its_bytes_and_a_number_are_one_key(name: str) -> None:
    placement = placed(name, [A, B, C, D])
    for number in KEYS[:300]:
        text = f"{number}"
        assert placement.node(text) is placement.node(text.encode()) is placement.node(number)
    for text in ("grüße", "キー", "🔑"):
        data = text.encode()
        assert placement.node(text) is placement.node(data) is placement.node(bytearray(data))


@EVERY
@pytest.mark.parametrize(
    "key",
    [1.5, None, True, ("a",), object(), "\ud800"],
    ids=["float", "none", "bool", "tuple", "object", "surrogate"],
)
def test_what_is_no_key_is_refused(name: str, key: Any) -> None:
    with pytest.raises(UsageError):
        placed(name, [A, B]).node(key)


@of("ring", "maglev", "rendezvous", "slots")
def test_a_node_with_a_thousandth_of_the_weight_gets_keys(name: str) -> None:
    placement = placed(name, {A: 1.0, B: 1.0, C: 0.001})
    members = [node.id for node in placement]
    assert members.index(C) in placement.index_many(range(15_000))


def test_a_node_with_a_thousandth_of_the_weight_gets_keys_by_uhashring() -> None:
    placement = placed("uhashring_md5", {A: 1000, B: 1000, C: 1})
    assert C in {node.id for node in placement.node_many(range(15_000))}


@of("libmemcached_ketama", "uhashring_ketama")
def test_a_node_that_the_library_gives_no_key_is_no_owner_but_stays_in_the_lists(name: str) -> None:
    placement = placed(name, {A: 1024, B: 1024, C: 5})
    assert set(owners(placement)) == {A, B}
    assert all(placement.nodes(key, 3)[2].id == C for key in KEYS[:50])


@of(*EQUAL)
def test_weights_that_would_count_for_nothing_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="weight"):
        placed(name, {A: 1.0, B: 0.25})


@EVERY
def test_a_node_that_left_gets_no_key(name: str) -> None:
    four = placed(name, [A, B, C, D])
    three = without(four, D)
    assert set(owners(three)) == {A, B, C}
    assert all(D not in [node.id for node in three.nodes(key, 3)] for key in KEYS[:100])


@of(*WEIGHTED)
def test_a_node_that_came_back_lighter_has_nothing_left_of_before(name: str) -> None:
    heavy = placed(name, {A: 8.0, B: 1.0, C: 1.0})
    lighter = heavy.with_nodes(remove=[A]).with_nodes(add=[Node(A, 1.0)])
    shares = lighter.stats().shares
    assert shares[A] < 0.55  # a third, give or take its points; it had eight tenths
    if name != "slots":  # which keeps what it can of the slots before
        assert lighter == placed(name, {A: 1.0, B: 1.0, C: 1.0})


@but("libmemcached_ketama", "uhashring_ketama", "maglev")
def test_a_node_that_joins_moves_no_key_between_the_others(name: str) -> None:
    before = placed(name, {A: 3.0, B: 1.0} if name in WEIGHTED else [A, B])
    after = joined(before, Node(C))
    assert set(owners(after)) == {A, B, C}
    for old, new in zip(owners(before), owners(after), strict=True):
        assert new in (old, C)


@but("libmemcached_ketama", "uhashring_ketama", "maglev")
def test_a_node_that_leaves_moves_its_own_keys_alone(name: str) -> None:
    before = placed(name, [A, B, C, D])
    after = without(before, D)
    for old, new in zip(owners(before), owners(after), strict=True):
        assert old in (new, D)


@of("jump", "int_jump")
def test_a_node_in_the_middle_cannot_leave_and_renumber_the_rest(name: str) -> None:
    with pytest.raises(UsageError, match="last"):
        placed(name, [A, B, C, D]).with_nodes(remove=[B])


@EVERY
def test_capacities_that_are_just_short_are_said_and_just_enough_is_used_up(name: str) -> None:
    placement = placed(name, [A, B, C])
    keys = KEYS[:90]
    with pytest.raises(CapacityExceeded, match="90 keys"):
        assign(placement, keys, 2.0, capacities={A: 30, B: 30, C: 29})
    taken = [node.id for node in assign(placement, keys, 2.0, capacities={A: 50, B: 39, C: 1})]
    assert [taken.count(node_id) for node_id in (A, B, C)] == [50, 39, 1]


def test_the_logarithms_of_scores_are_whole_numbers() -> None:
    with localcontext(prec=60):
        exact = [(Decimal(1024 + each) / 1024).ln() / Decimal(2).ln() for each in range(1025)]
    assert list(log_table()) == [int(each * 2**48) for each in exact]
    numbers = [0, 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1, *KEYS[:100]]
    found = [distance(number) for number in sorted(numbers)]
    assert all(type(each) is int for each in found)
    assert found == sorted(found, reverse=True)


@EVERY
def test_a_placement_is_pickled_copied_and_written_down(name: str) -> None:
    placement = joined(placed(name, [A, B, C]), Node(D, zone="z", address="10.0.0.9"))
    for twin in (
        pickle.loads(pickle.dumps(placement)),
        copy.deepcopy(placement),
        Placement.from_json(placement.to_json()),
    ):
        assert type(twin) is type(placement)
        assert twin == placement
        assert twin.fingerprint() == placement.fingerprint()
        assert twin.epoch == placement.epoch
        assert list(twin) == list(placement)
        assert owners(twin) == owners(placement)


@EVERY
def test_which_keys_must_move_is_answered(name: str) -> None:
    before = placed(name, [A, B, C])
    after = joined(before, Node(D))
    plan = before.plan(after)
    expected = [
        (key, old, new)
        for key, old, new in zip(KEYS, owners(before), owners(after), strict=True)
        if old != new
    ]
    assert expected
    assert plan.moves(KEYS) == expected
