"""The ring by example: look-ups, changes, refusals, and bugs that other rings have had."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import HashRing, Node
from concordant.placement.stats import shares
from concordant.placement.tables.points import MAX_POINTS_PER_NODE, PointTable, Stretch, edited
from tests.placement_oracle import MASK, TIED_IDS, key_at, naive_points, preference_ids

KEYS = [f"key-{number}" for number in range(2000)]


def ring_of(*ids: str, points: int = 160) -> HashRing:
    return HashRing([Node(node_id) for node_id in ids], points)


def owners(ring: HashRing) -> list[str]:
    return [ring.node(key).id for key in KEYS]


def test_a_ring_gives_back_the_very_nodes() -> None:
    node = Node("a", 2.0, "eu-1", "10.0.0.1")
    ring = HashRing([node])
    assert ring.node("k") is node
    assert ring.nodes("k", 1) == [node]
    assert list(ring) == [node]
    assert dict(ring.nodes_by_id) == {"a": node}


def test_nodes_are_iterated_by_id_whatever_their_order() -> None:
    ring = ring_of("c", "a", "b")
    assert [node.id for node in ring] == ["a", "b", "c"]
    assert list(ring.nodes_by_id) == ["a", "b", "c"]
    assert len(ring) == 3


def test_membership_by_id_and_by_node() -> None:
    ring = ring_of("a")
    assert "a" in ring
    assert Node("a") in ring
    assert "b" not in ring
    assert Node("a", 2.0) not in ring


def test_a_point_belongs_to_the_arc_before_it() -> None:
    ring = ring_of("a", "b", "c", points=5)
    points = sorted(naive_points(list(ring), 5))
    for index, (position, owner) in enumerate(points):
        assert ring.node(key_at(position)).id == owner
        assert ring.node(key_at(position + 1)).id == points[(index + 1) % len(points)][1]
    assert ring.node(key_at(0)).id == ring.node(key_at(MASK)).id == points[0][1]


def test_an_empty_ring_exists_but_owns_nothing() -> None:
    ring = ring_of("a").with_nodes(remove=["a"])
    assert len(ring) == 0
    assert ring == HashRing()
    assert ring.nodes("k", 0) == []
    assert shares(ring) == {}
    with pytest.raises(UsageError, match="without nodes"):
        ring.node("k")
    assert ring.with_nodes(add=[Node("b")]).node("k").id == "b"


@pytest.mark.parametrize("n", [4, -1, True, 1.0, None])
def test_an_impossible_number_of_nodes(n: Any) -> None:
    with pytest.raises(UsageError, match="0 to 3"):
        ring_of("a", "b", "c").nodes("k", n)


@pytest.mark.parametrize("points", [0, -1, MAX_POINTS_PER_NODE + 1, True, 1.5, None])
def test_bad_points(points: Any) -> None:
    with pytest.raises(UsageError, match="points"):
        HashRing([], points)


@pytest.mark.parametrize("epoch", [-1, 2**53, True, 1.5])
def test_bad_epochs(epoch: Any) -> None:
    with pytest.raises(UsageError, match="epoch"):
        HashRing([], epoch=epoch)


def test_a_weight_out_of_scale_is_refused_before_it_takes_the_memory() -> None:
    with pytest.raises(UsageError, match="scale all weights down"):
        HashRing([Node("a", 64 * 2.0**30)])


def test_duplicates_and_things_that_are_no_nodes_are_refused() -> None:
    with pytest.raises(UsageError, match="ids must differ"):
        HashRing([Node("a"), Node("a", 2.0)])
    with pytest.raises(UsageError, match="Node objects"):
        HashRing(["a"])  # type: ignore[list-item]


def test_changes_count_epochs_and_leave_the_old_ring_alone() -> None:
    old = ring_of("a", "b")
    before = owners(old)
    new = old.with_nodes(add=[Node("c")], remove=["a"], reweight={"b": 2.0})
    assert (old.epoch, new.epoch, new.with_nodes().epoch) == (0, 1, 2)
    assert [(node.id, node.weight) for node in new] == [("b", 2.0), ("c", 1.0)]
    assert [node.id for node in old] == ["a", "b"]
    assert owners(old) == before


@pytest.mark.parametrize(
    "change",
    [
        {"add": [Node("a")]},
        {"add": [Node("c"), Node("c")]},
        {"remove": ["x"]},
        {"remove": ["a", "a"]},
        {"remove": "ab"},
        {"remove": [Node("x")]},
        {"reweight": {"x": 1.0}},
        {"reweight": {"a": 0.0}},
        {"remove": ["a"], "reweight": {"a": 2.0}},
        {"add": [Node("c")], "reweight": {"c": 2.0}},
    ],
)
def test_changes_that_make_no_sense(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ring_of("a", "b").with_nodes(**change)


def test_a_removed_node_gets_no_key_even_after_it_came_back_lighter() -> None:
    ring = HashRing([Node("a", 8.0), Node("b")])
    lighter = ring.with_nodes(remove=["a"]).with_nodes(add=[Node("a", 0.5)])
    assert lighter == HashRing([Node("a", 0.5), Node("b")])
    assert set(owners(lighter.with_nodes(remove=["a"]))) == {"b"}


def test_removing_and_adding_one_id_replaces_its_node() -> None:
    ring = ring_of("a", "b")
    moved = ring.with_nodes(remove=["a"], add=[Node("a", address="10.0.0.2")])
    assert moved.nodes_by_id["a"].address == "10.0.0.2"
    assert moved == ring
    assert {moved.node(key).address for key in KEYS} == {"10.0.0.2", None}


def test_a_freed_slot_serves_the_next_node() -> None:
    ring = ring_of("a", "b", "c")
    for number in range(20):
        ring = ring.with_nodes(remove=[next(iter(ring)).id], add=[Node(f"new-{number:02}")])
    assert owners(ring) == owners(ring_of("new-17", "new-18", "new-19"))
    assert ring.epoch == 20


@pytest.mark.parametrize(
    ("change", "points_hashed"),
    [
        ({"add": [Node("new")]}, 160),
        ({"remove": ["node-7"]}, 160),
        ({"reweight": {"node-7": 1.5}}, 80),
        ({"reweight": {"node-7": 0.75}}, 40),
        ({"remove": ["node-7"], "add": [Node("node-7", address="10.0.0.2")]}, 0),
    ],
)
def test_a_change_costs_what_it_changes(
    change: dict[str, Any], points_hashed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = ring_of(*(f"node-{number}" for number in range(50)))
    hashed = 0

    def counted(
        table: PointTable, leaving: list[Stretch], coming: list[Stretch], id_of: dict[int, str]
    ) -> PointTable:
        nonlocal hashed
        hashed += sum(stretch.stop - stretch.start for stretch in (*leaving, *coming))
        return edited(table, leaving, coming, id_of)

    monkeypatch.setattr("concordant.placement.tables.rearrange.edited", counted)
    ring.with_nodes(**change)
    assert hashed == points_hashed


def test_addresses_and_zones_move_no_key() -> None:
    plain = ring_of("a", "b")
    placed = HashRing([Node("b", zone="z", address="1.2.3.4"), Node("a", zone="y")], epoch=9)
    assert owners(plain) == owners(placed)
    assert plain == placed
    assert hash(plain) == hash(placed)


def test_text_bytes_and_decimals_are_placed_alike() -> None:
    ring = ring_of("a", "b", "c")
    for number in range(500):
        text = str(number)
        assert ring.node(text) is ring.node(text.encode()) is ring.node(number)


def test_a_tiny_weight_still_owns_something() -> None:
    ring = HashRing([Node("a", 1024 / 1024), Node("b", 1.0), Node("c", 1e-9)])
    assert shares(ring)["c"] > 0.0


def test_shares_follow_weights_and_are_complete() -> None:
    owned = shares(HashRing([Node("a", 3.0), Node("b", 1.0)], 1000))
    assert owned["a"] == pytest.approx(0.75, abs=0.03)
    assert sum(owned.values()) == pytest.approx(1.0)


def test_ten_equal_nodes_are_balanced() -> None:
    owned = shares(ring_of(*(f"node-{number}" for number in range(10))))
    assert max(owned.values()) * 10 < 1.2


def test_the_name_and_the_number_of_a_point_cannot_run_together() -> None:
    names = ["n", "n1", "n11"]
    positions = [position for position, _ in naive_points([Node(name) for name in names], 160)]
    assert len(set(positions)) == 480
    assert owners(ring_of(*names)) == owners(ring_of(*reversed(names)))
    table = ring_of(*names)._table
    assert list(table.positions) == sorted(positions)


class TestTiedPoints:
    """Two nodes whose points fall together: the smaller id goes first, in every order."""

    first, second = TIED_IDS
    position = naive_points([Node(TIED_IDS[0])], 1)[0][0]

    def test_they_are_tied_indeed(self) -> None:
        assert naive_points([Node(self.second)], 1)[0][0] == self.position
        assert self.first < self.second

    @pytest.mark.parametrize("ids", [TIED_IDS, TIED_IDS[::-1]])
    def test_order_of_insertion_does_not_matter(self, ids: tuple[str, str]) -> None:
        at_once = ring_of(*ids, "third", points=1)
        one_by_one = ring_of("third", points=1)
        for node_id in ids:
            one_by_one = one_by_one.with_nodes(add=[Node(node_id)])
        for ring in (at_once, one_by_one):
            assert ring.node(key_at(self.position)).id == self.first
            assert preference_ids(ring, key_at(self.position)) == [*TIED_IDS, "third"]
        assert at_once == one_by_one

    @pytest.mark.parametrize("gone", TIED_IDS)
    def test_removing_one_leaves_the_other(self, gone: str) -> None:
        ring = ring_of(*TIED_IDS, "third", points=1).with_nodes(remove=[gone])
        (other,) = set(TIED_IDS) - {gone}
        assert ring.node(key_at(self.position)).id == other
        assert ring == ring_of(other, "third", points=1)

    def test_the_hidden_point_owns_nothing(self) -> None:
        owned = shares(ring_of(*TIED_IDS, "third", points=1))
        assert owned[self.second] == 0.0
        assert sum(owned.values()) == pytest.approx(1.0)


def test_rings_survive_pickle_and_copy() -> None:
    ring = HashRing([Node("a", 2.0, "z", "1.2.3.4"), Node("b")], 40).with_nodes(add=[Node("c")])
    for twin in (pickle.loads(pickle.dumps(ring)), copy.copy(ring), copy.deepcopy(ring)):
        assert twin == ring
        assert twin.nodes_by_id == ring.nodes_by_id
        assert (twin.points, twin.epoch) == (40, 1)
        assert owners(twin) == owners(ring)


def test_rings_cannot_be_changed_from_outside() -> None:
    ring = ring_of("a")
    with pytest.raises(AttributeError):
        ring.epoch = 7  # type: ignore[misc]
    with pytest.raises(TypeError):
        ring.nodes_by_id["b"] = Node("b")  # type: ignore[index]


def test_rings_work_as_keys() -> None:
    assert len({ring_of("a", "b"), ring_of("b", "a"), ring_of("a", "c")}) == 2
    assert ring_of("a") != "a"


def test_the_repr_is_short_and_tells_rings_apart() -> None:
    ring = ring_of(*(f"node-{number}" for number in range(1000)), points=1)
    assert "fingerprint" not in repr(ring)
    assert ring.fingerprint() in repr(ring)
    assert "1000 nodes" in repr(ring)
    assert len(repr(ring)) < 200


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_other_processes_place_alike_under_any_hash_seed(seed: str) -> None:
    script = (
        "from concordant.placement import HashRing, Node\n"
        "ring = HashRing({Node(i) for i in ('a', 'b', 'c', 'd')}).with_nodes(remove={'d'})\n"
        "lists = [[n.id for n in ring.nodes(k, 3)] for k in range(200)]\n"
        "print(ring.fingerprint(), ring.to_json(), lists)"
    )
    env = {
        **os.environ,
        "PYTHONHASHSEED": seed,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=30
    )
    ring = ring_of("d", "c", "b", "a").with_nodes(remove=["d"])
    lists = [[node.id for node in ring.nodes(key, 3)] for key in range(200)]
    assert done.stderr == ""
    assert done.stdout == f"{ring.fingerprint()} {ring.to_json()} {lists}\n"
