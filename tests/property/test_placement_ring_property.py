"""Laws of the ring, for any nodes, weights and keys."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from concordant.placement import HashRing, Node
from concordant.placement.stats import shares
from tests.placement_oracle import (
    SPACE,
    TIED_IDS,
    key_at,
    naive_points,
    naive_preference,
    preference_ids,
)

POINTS = 6
KEYS = [key_at(number * (SPACE // 97) + 12345) for number in range(97)]
ids = st.sampled_from([*"abcdefgh", "ä", "n", "n1", *TIED_IDS])
weights = st.sampled_from([1e-9, 0.25, 0.4, 1.0, 1.25, 2.0, 7.0])
node_dicts = st.dictionaries(ids, weights, max_size=7)
full_dicts = st.dictionaries(ids, weights, min_size=1, max_size=7)


def ring_of(node_weights: Mapping[str, float], points: int = POINTS) -> HashRing:
    return HashRing([Node(*pair) for pair in node_weights.items()], points)


def owner_ids(ring: HashRing) -> list[str]:
    return [ring.node(key).id for key in KEYS]


def critical_keys(*rings: HashRing) -> list[bytes]:
    """Return keys on, before and behind every point of the rings: they decide every arc."""
    points = {position for ring in rings for position, _ in naive_points(list(ring), ring.points)}
    return [key_at((point + step) % SPACE) for point in points for step in (-1, 0, 1)]


@given(full_dicts)
def test_look_ups_are_those_of_the_definition(node_weights: dict[str, float]) -> None:
    ring = ring_of(node_weights)
    points = naive_points(list(ring), POINTS)
    for number in range(97):
        position = number * (SPACE // 97) + 12345
        expected = naive_preference(points, position)
        assert preference_ids(ring, key_at(position)) == expected
        assert ring.node(key_at(position)).id == expected[0]


@given(full_dicts, st.randoms(use_true_random=False))
def test_the_order_of_nodes_does_not_matter(node_weights: dict[str, float], random: object) -> None:
    nodes = [Node(*pair) for pair in node_weights.items()]
    random.shuffle(nodes)  # type: ignore[attr-defined]
    shuffled = HashRing(nodes, POINTS)
    assert shuffled.fingerprint() == ring_of(node_weights).fingerprint()
    assert owner_ids(shuffled) == owner_ids(ring_of(node_weights))


@given(full_dicts, st.binary())
def test_preferred_nodes_are_distinct_with_stable_prefixes(
    node_weights: dict[str, float], key: bytes
) -> None:
    ring = ring_of(node_weights)
    lists = [ring.nodes(key, n) for n in range(len(ring) + 1)]
    assert lists[1] == [ring.node(key)]
    assert len(set(lists[-1])) == len(ring)
    for shorter, longer in pairwise(lists):
        assert longer[:-1] == shorter


@given(node_dicts, node_dicts, st.data())
def test_a_changed_ring_is_the_ring_made_anew(
    first: dict[str, float], second: dict[str, float], data: st.DataObject
) -> None:
    reweight = {node_id: second[node_id] for node_id in first.keys() & second.keys()}
    changed = ring_of(first).with_nodes(
        add=[Node(node_id, second[node_id]) for node_id in second.keys() - first.keys()],
        remove=list(first.keys() - second.keys()),
        reweight=reweight,
    )
    anew = ring_of(second)
    assert changed.nodes_by_id == anew.nodes_by_id
    assert list(changed) == list(anew)
    assert list(changed.arcs()) == list(anew.arcs())
    for key in critical_keys(changed):
        assert preference_ids(changed, key) == preference_ids(anew, key)
    # A second change finds slots that the first one freed.
    back = changed.with_nodes(remove=list(second), add=[Node(*pair) for pair in first.items()])
    assert list(back.arcs()) == list(ring_of(first).arcs())


@given(full_dicts, ids, weights)
def test_adding_moves_keys_to_the_new_node_only(
    node_weights: dict[str, float], new_id: str, weight: float
) -> None:
    node_weights.pop(new_id, None)
    old = ring_of(node_weights)
    new = old.with_nodes(add=[Node(new_id, weight)])
    assert all(to_id == new_id for _, to_id in old.plan(new).matrix)
    for key in critical_keys(new):
        remaining = [node_id for node_id in preference_ids(new, key) if node_id != new_id]
        assert remaining == preference_ids(old, key)


@given(full_dicts, st.data())
def test_removing_moves_keys_from_the_old_node_only(
    node_weights: dict[str, float], data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(sorted(node_weights)))
    old = ring_of(node_weights)
    new = old.with_nodes(remove=[gone])
    plan = old.plan(new)
    assert all(from_id == gone for from_id, _ in plan.matrix)
    assert abs(plan.moved_share - shares(old)[gone]) < 1e-12
    for key in critical_keys(old):
        remaining = [node_id for node_id in preference_ids(old, key) if node_id != gone]
        assert preference_ids(new, key) == remaining


@given(full_dicts, weights, st.data())
def test_reweighting_moves_keys_one_way_only(
    node_weights: dict[str, float], weight: float, data: st.DataObject
) -> None:
    changed = data.draw(st.sampled_from(sorted(node_weights)))
    old = ring_of(node_weights)
    matrix = old.plan(old.with_nodes(reweight={changed: weight})).matrix
    if weight >= node_weights[changed]:
        assert all(to_id == changed for _, to_id in matrix)
    else:
        assert all(from_id == changed for from_id, _ in matrix)


@given(node_dicts, st.integers(1, 50), st.integers(0, 10**6))
def test_json_and_pickle_go_round(node_weights: dict[str, float], points: int, epoch: int) -> None:
    nodes = [Node(node_id, weight, "z", "addr") for node_id, weight in node_weights.items()]
    ring = HashRing(nodes, points, epoch=epoch)
    for twin in (HashRing.from_json(ring.to_json()), pickle.loads(pickle.dumps(ring))):
        assert twin.nodes_by_id == ring.nodes_by_id
        assert (twin.points, twin.epoch) == (points, epoch)
        assert twin == ring


@given(node_dicts, node_dicts, st.integers(1, 4), st.integers(1, 4))
def test_fingerprints_agree_if_and_only_if_placement_does(
    first: dict[str, float], second: dict[str, float], points: int, other_points: int
) -> None:
    one, other = ring_of(first, points), ring_of(second, other_points)
    alike = len(one) == len(other) and all(
        preference_ids(one, key) == preference_ids(other, key) for key in critical_keys(one, other)
    )
    assert (one.fingerprint() == other.fingerprint()) == alike


@given(full_dicts, st.sampled_from(["zone", "address"]))
def test_what_is_not_placement_does_not_show(node_weights: dict[str, float], name: str) -> None:
    ring = ring_of(node_weights)
    dressed = [replace(node, **{name: f"{node.id}-{name}"}) for node in ring]  # type: ignore[arg-type]
    assert HashRing(dressed, POINTS, epoch=5).fingerprint() == ring.fingerprint()
