"""What every placement answers, whatever its algorithm."""

from __future__ import annotations

from array import array
from collections import Counter
from importlib import import_module
from itertools import pairwise, product
from pkgutil import walk_packages
from typing import Any

import pytest

import concordant.placement
from concordant.errors import UsageError
from concordant.placement import Node, Placement
from concordant.placement.placement_json import ALGORITHMS
from concordant.placement.tables.table import TablePlacement
from tests.placement_kinds import (
    IDS,
    KINDS,
    Kind,
    every_kind,
    ids_of,
    kinds,
    lists_of,
    taken_in_rounds,
)

NOT_KEYS: list[Any] = [None, 1.5, True, ("a",), ["a"], {"a"}, object(), "\ud800", "a\udfff"]


def placement_classes() -> set[type[Placement]]:
    """Return all classes of placements that can be made."""
    for module in walk_packages(concordant.placement.__path__, "concordant.placement."):
        import_module(module.name)
    found: set[type[Placement]] = set()
    fresh: list[type[Placement]] = [Placement]
    while fresh:
        fresh = [derived for each in fresh for derived in each.__subclasses__()]
        found.update(each for each in fresh if "algorithm" in vars(each))
    return {each for each in found if each.__module__.startswith("concordant.")}


def test_every_algorithm_is_held_to_the_contract() -> None:
    assert {name.partition("/")[0] for name in KINDS} == set(ALGORITHMS)
    classes = {}
    for name, kind in KINDS.items():
        placement = kind.placement(2)
        assert placement.algorithm == name.partition("/")[0]
        classes[placement.algorithm] = type(placement)
    named = {name: getattr(import_module(at), kind) for name, (at, kind) in ALGORITHMS.items()}
    assert named == classes
    assert placement_classes() == set(classes.values())


@every_kind
def test_the_owner_is_the_same_however_it_is_asked_for(kind: Kind) -> None:
    for count in (1, 2, 7):
        placement = kind.placement(count)
        order, keys = list(placement), kind.keys
        owners = [placement.node(key) for key in keys]
        assert all(owner is placement.nodes_by_id[owner.id] for owner in owners)
        assert [placement.nodes(key, 1) for key in keys] == [[owner] for owner in owners]
        assert placement.node_many(keys) == owners
        places = placement.index_many(keys)
        assert isinstance(places, array)
        assert places.typecode == "i"
        assert [order[place] for place in places] == owners
        assert placement.index_many(iter(keys)) == placement.index_many(tuple(keys)) == places
        assert placement.node_many(iter(keys)) == owners


@every_kind
def test_nodes_are_there_by_ascending_id_whatever_their_order(kind: Kind) -> None:
    nodes = kind.nodes(7)
    placement = kind.make(nodes)
    assert ids_of(placement) == list(placement.nodes_by_id) == sorted(IDS)
    assert set(placement) == set(nodes)
    assert len(placement) == 7
    assert IDS[0] in placement
    assert nodes[0] in placement
    assert "elsewhere" not in placement
    assert Node(IDS[0], nodes[0].weight, zone="other") not in placement
    with pytest.raises(TypeError):
        placement.nodes_by_id["x"] = nodes[0]  # type: ignore[index]
    for shuffled in (nodes[::-1], nodes[3:] + nodes[:3], set(nodes)):
        again = kind.make(shuffled)
        assert again.fingerprint() == placement.fingerprint()
        assert again.to_json() == placement.to_json()
        assert lists_of(again, kind.keys[:20]) == lists_of(placement, kind.keys[:20])


@every_kind
def test_lists_name_every_node_once_and_shorter_ones_begin_longer_ones(kind: Kind) -> None:
    placement = kind.placement(7, zoned=True)
    for key in kind.keys[:30]:
        for spread in (None, "zone"):
            lists = [placement.nodes(key, n, spread=spread) for n in range(8)]
            assert sorted(ids_of(lists[-1])) == sorted(IDS)
            assert all(longer[:-1] == shorter for shorter, longer in pairwise(lists))
            assert lists[1] == [placement.node(key)]


@every_kind
def test_an_impossible_number_of_nodes_is_refused(kind: Kind) -> None:
    placement = kind.placement(7)
    numbers: list[Any] = [-1, 8, 2**64, True, 1.0, "1", None]
    options: list[dict[str, Any]] = [{}, {"spread": "zone"}, {"exclude": ["elsewhere"]}]
    for n, how in product(numbers, options):
        with pytest.raises(UsageError, match="0 to 7"):
            placement.nodes(kind.keys[0], n, **how)


@every_kind
def test_nodes_that_are_down_are_passed_over(kind: Kind) -> None:
    placement = kind.placement(7, zoned=True)
    down = [IDS[1], placement.nodes_by_id[IDS[4]], "elsewhere"]
    for key in kind.keys[:30]:
        up = [each for each in ids_of(placement.nodes(key, 7)) if each not in (IDS[1], IDS[4])]
        assert [ids_of(placement.nodes(key, n, exclude=down)) for n in range(6)] == [
            up[:n] for n in range(6)
        ]
        assert ids_of(placement.nodes(key, 5, exclude=iter(down))) == up
        assert placement.nodes(key, 0, exclude=IDS) == []
    for n in (6, 7, 8):
        with pytest.raises(UsageError, match="0 to 5"):
            placement.nodes(kind.keys[0], n, exclude=down)
    with pytest.raises(UsageError, match="list of ids"):
        placement.nodes(kind.keys[0], 1, exclude=IDS[1])


@every_kind
def test_replicas_spread_over_zones(kind: Kind) -> None:
    placement = kind.placement(7, zoned=True)
    for key in kind.keys[:30]:
        preference = placement.nodes(key, 7)
        for down in ((), IDS[:1], IDS[2:6]):
            left = 7 - len(down)
            for n in range(left + 1):
                found = placement.nodes(key, n, spread="zone", exclude=down)
                assert ids_of(found) == taken_in_rounds(preference, n, down)
        # Of x there are three nodes, of z one, two of y and of none together.
        zones = [node.zone for node in placement.nodes(key, 6, spread="zone")]
        assert len(set(zones[:4])) == 4
        counts = Counter(zones)
        assert counts["z"] == 1
        assert sorted(counts.values()) in ([1, 1, 2, 2], [1, 1, 1, 3])
    with pytest.raises(UsageError, match="spread='zone'"):
        placement.nodes(kind.keys[0], 1, spread="rack")


@kinds(lambda kind: not kind.integers)
def test_text_is_its_utf8_and_an_int_is_its_digits(kind: Kind) -> None:
    placement = kind.placement(7)
    for text in ("", "a", "grüße", "キー", "🔑", "a\0b", "42", "-7", str(2**80)):
        data = text.encode()
        forms: list[Any] = [text, data, bytearray(data), memoryview(b"x" + data)[1:]]
        if text.lstrip("-").isdigit():
            forms.append(int(text))
        assert len({tuple(ids_of(placement.nodes(form, 7))) for form in forms}) == 1
        assert len(set(placement.node_many(forms))) == 1
        assert [placement.node(form) for form in forms] == placement.node_many(forms)


@kinds(lambda kind: kind.integers)
def test_a_hash_is_taken_modulo_two_to_the_64(kind: Kind) -> None:
    placement = kind.placement(7)
    for number in (0, 1, 2**63, 2**64 - 1, 12345678901234567890):
        twins = [number, number - 2**64, number + 2**64, number + 2**200]
        assert lists_of(placement, twins) == lists_of(placement, [number]) * 4
    for key in ("1", b"1", bytearray(b"1")):
        with pytest.raises(UsageError):
            placement.node(key)


@every_kind
def test_what_is_no_key_is_refused_wherever_it_is_given(kind: Kind) -> None:
    for placement, key in product((kind.placement(3), kind.placement(0)), NOT_KEYS):
        for asked in (
            lambda at, key: at.node(key),
            lambda at, key: at.nodes(key, len(at)),
            lambda at, key: at.nodes(key, 0, spread="zone"),
            lambda at, key: at.nodes(key, 0, exclude=["x"]),
            lambda at, key: at.index_many([key]),
            lambda at, key: at.node_many(iter([key])),
        ):
            with pytest.raises(UsageError):
                asked(placement, key)


@every_kind
def test_one_key_is_no_list_of_keys(kind: Kind) -> None:
    keys: Any
    for keys in ("text", b"bytes", bytearray(b"bytes")):
        with pytest.raises(UsageError, match="one key"):
            kind.placement(3).index_many(keys)


@every_kind
def test_without_nodes_there_are_no_owners(kind: Kind) -> None:
    empty, key = kind.placement(0), kind.keys[0]
    assert (len(empty), list(empty), empty.nodes(key, 0)) == (0, [], [])
    assert empty.nodes(key, 0, spread="zone") == []
    assert (empty.index_many([]), empty.node_many([])) == (array("i"), [])
    for asked in (
        lambda: empty.node(key),
        lambda: empty.nodes(key, 1),
        lambda: empty.nodes(key, 1, spread="zone"),
        lambda: empty.index_many([key]),
        lambda: empty.node_many([key]),
    ):
        with pytest.raises(UsageError):
            asked()


@every_kind
def test_one_node_owns_everything(kind: Kind) -> None:
    alone = kind.placement(1)
    (node,) = alone
    assert set(alone.node_many(kind.keys)) == {node}
    assert [alone.nodes(key, 1, spread="zone") for key in kind.keys[:5]] == [[node]] * 5


@every_kind
def test_ranges_are_known_where_they_are_promised(kind: Kind) -> None:
    placement = kind.placement(5)
    assert isinstance(placement, TablePlacement) == kind.ranges
    plan = placement.plan(kind.placement(4))
    assert plan.exact == kind.ranges
    if kind.ranges:
        assert plan.ranges
        return
    with pytest.raises(UsageError, match=r"plan\.moves"):
        _ = plan.ranges


@kinds(lambda kind: kind.fills)
def test_no_node_vanishes(kind: Kind) -> None:
    # A weight of a thousandth is among them, where that may be; on the textbook's ring nodes meet.
    placement = kind.placement(6)
    if isinstance(placement, TablePlacement):
        owning = {arc.owner_id for arc in placement.arcs()}
    else:
        owning = {node.id for node in placement.node_many(range(20_000))}
    assert owning == set(placement.nodes_by_id)


@every_kind
def test_what_is_no_set_of_nodes_is_refused(kind: Kind) -> None:
    make: Any = type(kind.placement(1))
    nodes: list[Any]
    for nodes in (["h1:11211"], [None], [Node("h1:11211"), Node("h1:11211")]):
        with pytest.raises(UsageError):
            make(nodes)


@kinds(lambda kind: len(kind.weights) == 1)
def test_weights_are_refused_where_they_would_be_left_out(kind: Kind) -> None:
    with pytest.raises(UsageError, match="weight"):
        kind.make([Node(IDS[0]), Node(IDS[1], 2.0)])
    with pytest.raises(UsageError, match="weight"):
        kind.placement(2).with_nodes(reweight={IDS[0]: 2.0})
