"""libmemcached's ketama, against answers of the real library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import Node
from concordant.placement.compat import LibmemcachedKetama
from concordant.placement.compat.continuum import digest_counts, server_name

GOLDEN = json.loads(
    (Path(__file__).parent.parent / "data" / "golden_libmemcached.json").read_text("utf-8")
)
KEYS = [bytes.fromhex(key) for key in GOLDEN["keys"]]
RINGS = {ring["name"]: ring for ring in GOLDEN["rings"]}


def node_id(host: str, port: int) -> str:
    if not port:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def nodes_of(golden: dict[str, Any]) -> list[Node]:
    return [Node(node_id(host, port), weight) for host, port, weight in golden["servers"]]


def placement_of(golden: dict[str, Any]) -> LibmemcachedKetama:
    nodes = nodes_of(golden)
    order = [node.id for node in nodes]
    weighted, digest = golden["weighted"], golden["hash"]
    return LibmemcachedKetama(nodes, weighted=weighted, hash=digest, order=order)


@pytest.mark.parametrize("name", RINGS)
def test_owners_are_those_of_the_library(name: str) -> None:
    golden = RINGS[name]
    ids = [node.id for node in nodes_of(golden)]
    placement = placement_of(golden)
    owners = [ids[number] for number in golden["owners"]]
    assert [placement.node(key).id for key in KEYS] == owners
    assert [node.id for node in placement.node_many(KEYS)] == owners
    members = list(placement)
    assert [members[place].id for place in placement.index_many(KEYS)] == owners


def test_the_vectors_are_not_empty() -> None:
    assert len(KEYS) >= 300
    assert len(RINGS) == len(GOLDEN["rings"]) >= 19
    assert {digest for ring in GOLDEN["rings"] for digest in [ring["hash"]]} == {
        "md5",
        "one-at-a-time",
    }


def test_a_tie_is_won_by_the_server_that_was_added_first() -> None:
    tied, turned = RINGS["tied"], RINGS["tied, the other way round"]
    differ = [
        key
        for key, one, other in zip(KEYS, tied["owners"], turned["owners"], strict=True)
        if one == other
    ]
    assert len(differ) >= 3
    for key in differ:
        assert placement_of(tied).node(key).id == placement_of(tied).order[0]
        assert placement_of(turned).node(key).id == placement_of(turned).order[0]
    assert placement_of(tied) != placement_of(turned)
    # Whatever comes first in the list of nodes, the order alone tells.
    assert LibmemcachedKetama(nodes_of(tied)) == LibmemcachedKetama(nodes_of(turned))


@pytest.mark.parametrize(
    ("weights", "counts"),
    [
        ([1], [40]),
        ([1, 1], [40, 40]),
        ([1] * 100, [39] * 100),
        ([3, 2, 3, 10, 7], [23, 15, 23, 80, 56]),
        ([1024, 1024, 5], [59, 59, 0]),
    ],
)
def test_digests_are_counted_in_single_precision(weights: list[int], counts: list[int]) -> None:
    assert digest_counts(weights) == counts


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("10.0.0.1:11211", "10.0.0.1"),
        ("10.0.0.1:11212", "10.0.0.1:11212"),
        ("cache.example:1", "cache.example:1"),
        ("[::1]:11211", "::1"),
        ("[::1]:65535", "::1:65535"),
        ("/run/a:b.sock", "/run/a:b.sock:0"),
    ],
)
def test_points_are_named_without_the_default_port(given: str, name: str) -> None:
    assert server_name(given) == name


@pytest.mark.parametrize(
    "bad",
    [
        *("cache-1", "cache-1:", ":11211", "a:0", "a:65536", "a:011211", "a:+1", "::1:11211"),
        *("[]:1", "a:11211x", "a: 11211", "a:١١٢١١"),
    ],
)
def test_an_id_that_names_no_server_is_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="host:port"):
        LibmemcachedKetama([Node(bad)])


@pytest.mark.parametrize("weight", [0.5, 1.5, float(1 << 32)])
def test_weights_are_whole_numbers(weight: float) -> None:
    with pytest.raises(UsageError, match="whole number"):
        LibmemcachedKetama([Node("a:1", weight)])


def test_unweighted_points_have_no_weights() -> None:
    with pytest.raises(UsageError, match="weighted=True"):
        LibmemcachedKetama([Node("a:1"), Node("b:1", 2.0)], weighted=False)


@pytest.mark.parametrize(
    "settings", [{"hash": "crc"}, {"hash": None}, {"weighted": 1}, {"order": ["a:1"]}]
)
def test_settings_that_make_no_sense(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        LibmemcachedKetama([Node("a:1"), Node("b:1")], **settings)


def test_a_server_without_points_is_there_and_comes_last() -> None:
    placement = placement_of(RINGS["a weight that gets no point"])
    assert len(placement) == 3
    for key in KEYS:
        assert [node.id for node in placement.nodes(key, 3)][2] == "cache-2:11211"
    without = LibmemcachedKetama(
        [Node("cache-0:11211", 1024), Node("cache-1:11211", 1024)], order=placement.order[:2]
    )
    assert placement != without


def test_a_change_weighs_all_servers_anew() -> None:
    placement = LibmemcachedKetama(
        [Node("a:11211", 3), Node("b:11211")], order=["b:11211", "a:11211"]
    )
    grown = placement.with_nodes(add=[Node("d:11211"), Node("c:11211")])
    assert grown.order == ("b:11211", "a:11211", "c:11211", "d:11211")
    assert grown.epoch == 1
    assert grown == LibmemcachedKetama(list(grown), order=grown.order)
    assert grown.with_nodes(remove=["c:11211", "d:11211"]) == placement
    assert placement.with_nodes(reweight={"a:11211": 1}).nodes_by_id["a:11211"].weight == 1.0
