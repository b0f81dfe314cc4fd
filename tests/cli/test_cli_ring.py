"""``concordant ring``: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from concordant.cli.ring import parse_node, ring
from concordant.errors import UsageError
from concordant.placement import (
    HashRing,
    IntJump,
    Jump,
    Maglev,
    Memento,
    ModuloRing,
    Node,
    Placement,
    Rendezvous,
    Slots,
)
from concordant.placement.compat import RedisCluster
from concordant.placement.stats import shares

NODES = ["--node", "a=2@eu", "--node", "b", "--node", "c"]
RING = HashRing([Node("a", 2.0, "eu"), Node("b"), Node("c")])


def run(*arguments: str, stdin: str | bytes = "") -> Result:
    result = CliRunner().invoke(ring, arguments, input=stdin)
    assert result.exception is None, result.exception
    assert result.exit_code == 0
    assert result.stderr == ""
    return result


def refusal(*arguments: str, stdin: str | bytes = "") -> str:
    result = CliRunner().invoke(ring, arguments, input=stdin)
    assert isinstance(result.exception, UsageError), result
    return str(result.exception)


def as_json(*arguments: str, stdin: str | bytes = "") -> Any:
    return json.loads(run(*arguments, "-o", "json", stdin=stdin).stdout)


def test_locate_prints_key_and_owner() -> None:
    result = run("locate", "alice", "bob", *NODES)
    assert result.stdout == f"alice\t{RING.node('alice').id}\nbob\t{RING.node('bob').id}\n"


def test_locate_as_json() -> None:
    keys = [f"key-{number}" for number in range(50)]
    assert as_json("locate", *NODES, *keys) == {
        "fingerprint": RING.fingerprint(),
        "keys": [{"key": key, "node": RING.node(key).id} for key in keys],
    }


def test_locate_reads_lines_exactly() -> None:
    rows = as_json("locate", *NODES, stdin="alice\r\n b c \n\nschlüssel")["keys"]
    assert [row["key"] for row in rows] == ["alice", " b c ", "", "schlüssel"]
    assert [row["node"] for row in rows] == [RING.node(row["key"]).id for row in rows]


def test_locate_with_nothing_to_locate() -> None:
    assert run("locate", *NODES).stdout == ""
    assert as_json("locate", *NODES)["keys"] == []


def test_keys_that_are_no_text_are_refused() -> None:
    assert "line 2" in refusal("locate", *NODES, stdin=b"ok\n\xff\n")


def test_a_ring_file_is_the_ring(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    path.write_text(HashRing(RING, 40, epoch=3).to_json(), "utf-8")
    shown = as_json("show", "--ring", str(path))
    assert (shown["epoch"], shown["points"]) == (3, 40)
    assert shown["fingerprint"] == HashRing(RING, 40).fingerprint()
    owner = HashRing(RING, 40).node("alice").id
    assert run("locate", "--ring", str(path), "alice").stdout == f"alice\t{owner}\n"


def test_replicas() -> None:
    keys = [f"key-{number}" for number in range(20)]
    lines = run("locate", *NODES, *keys, "--replicas", "2").stdout.splitlines()
    expected = [[key, *(node.id for node in RING.nodes(key, 2))] for key in keys]
    assert [line.split("\t") for line in lines] == expected
    rows = as_json("locate", *NODES, *keys, "--replicas", "2")["keys"]
    assert rows == [{"key": key, "node": ids[0], "nodes": ids} for key, *ids in expected]
    assert "3 at most" in refusal("locate", "k", *NODES, "--replicas", "4")
    down = ["--exclude", "a", "--exclude", "b", "--exclude", "c"]
    assert "not excluded" in refusal("locate", "k", *NODES, *down)


def test_replicas_over_zones_without_who_is_down() -> None:
    nodes = [Node("a", zone="x"), Node("b", zone="x"), Node("c", zone="y"), Node("d", zone="y")]
    ring = HashRing(nodes)
    named = [part for node in nodes for part in ("--node", f"{node.id}@{node.zone}")]
    keys = [f"key-{number}" for number in range(30)]
    options = ["--replicas", "2", "--spread", "zone", "--exclude", "b"]
    rows = as_json("locate", *named, *keys, *options)["keys"]
    assert [row["nodes"] for row in rows] == [
        [node.id for node in ring.nodes(key, 2, spread="zone", exclude=["b"])] for key in keys
    ]
    alone = as_json("locate", *named, *keys, "--exclude", "b")["keys"]
    assert [row["node"] for row in alone] == [
        ring.nodes(key, 1, exclude=["b"])[0].id for key in keys
    ]
    assert "--replicas" in refusal("locate", "k", *named, "--spread", "zone")


def test_who_is_excluded_by_a_wrong_name_is_said() -> None:
    result = CliRunner().invoke(ring, ["locate", "k", *NODES, "--exclude", "B"])
    assert result.stdout == f"k\t{RING.node('k').id}\n"
    assert "no node 'B'" in result.stderr


def test_keys_that_are_hashes(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    jump = IntJump([Node("a"), Node("b")])
    path.write_text(jump.to_json(), "utf-8")
    rows = as_json("locate", "--ring", str(path), "17", str(2**70))["keys"]
    assert rows == [{"key": key, "node": jump.node(key).id} for key in (17, 2**70)]
    assert "'x' is no whole number" in refusal("locate", "--ring", str(path), "x")


def test_show_as_json() -> None:
    owned = shares(RING)
    assert as_json("show", *NODES) == {
        "algorithm": "ring",
        "hash": "xxh64",
        "fingerprint": RING.fingerprint(),
        "epoch": 0,
        "points": 160,
        "basis": "exact",
        "nodes": [
            {"id": "a", "weight": 2.0, "zone": "eu", "points": 320, "share": owned["a"]},
            {"id": "b", "weight": 1.0, "zone": None, "points": 160, "share": owned["b"]},
            {"id": "c", "weight": 1.0, "zone": None, "points": 160, "share": owned["c"]},
        ],
    }


def test_show_as_text() -> None:
    facts, _, table = run("show", *NODES).stdout.partition("\n\n")
    assert dict(line.split() for line in facts.splitlines()) == {
        "algorithm": "ring",
        "hash": "xxh64",
        "fingerprint": RING.fingerprint(),
        "epoch": "0",
        "points": "160",
        "shares": "exact",
    }
    assert [line.split() for line in table.splitlines()] == [
        ["NODE", "WEIGHT", "ZONE", "POINTS", "SHARE"],
        ["a", "2", "eu", "320", _percent("a")],
        ["b", "1", "160", _percent("b")],
        ["c", "1", "160", _percent("c")],
    ]


def _percent(node_id: str) -> str:
    return f"{shares(RING)[node_id]:.2%}"


def test_show_of_an_empty_ring_and_addresses_stay_private(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    path.write_text(HashRing().to_json(), "utf-8")
    assert as_json("show", "--ring", str(path))["nodes"] == []
    assert run("show", "--ring", str(path)).stdout.splitlines()[-1].startswith("NODE")
    path.write_text(HashRing([Node("a", address="redis://:hunter2@h")]).to_json(), "utf-8")
    for output in ("text", "json"):
        assert "hunter2" not in run("show", "--ring", str(path), "-o", output).stdout


@pytest.mark.parametrize(
    ("spec", "node"),
    [
        ("a", Node("a")),
        ("a=2.5", Node("a", 2.5)),
        ("a@eu", Node("a", 1.0, "eu")),
        ("a=2@eu-1", Node("a", 2.0, "eu-1")),
        ("me@host=1", Node("me@host")),
        ("me@host=1@eu", Node("me@host", 1.0, "eu")),
        ("k=v=3", Node("k=v", 3.0)),
        ("pg://u@h/d?a=b=1@z", Node("pg://u@h/d?a=b", 1.0, "z")),
    ],
)
def test_nodes_are_parsed_from_the_right(spec: str, node: Node) -> None:
    assert parse_node(spec) == node


@pytest.mark.parametrize("spec", ["", "=1", "@eu", "a@", "a=", "a=x", "a=0", "a=nan", "a=-1@eu"])
def test_bad_nodes(spec: str) -> None:
    refusal("show", "--node", spec)


def test_one_ring_and_only_one(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    path.write_text(RING.to_json(), "utf-8")
    assert "--node" in refusal("show")
    assert "--node" in refusal("show", "--ring", str(path), *NODES)
    refusal("locate", "k", "--node", "a", "--node", "a")
    assert "the file says it all" in refusal("show", "--ring", str(path), "--points", "5")
    assert "--algorithm" in refusal("show", "--ring", str(path), "--algorithm", "slots")


MAKE: dict[str, tuple[Placement, list[str]]] = {
    "ring": (HashRing([Node("a"), Node("b")], 7), ["--points", "7"]),
    "rendezvous": (Rendezvous([Node("a"), Node("b")]), []),
    "slots": (Slots([Node("a"), Node("b")], 64), ["--slots", "64"]),
    "memento": (Memento([Node("a"), Node("b")]), []),
    "maglev": (Maglev([Node("a"), Node("b")], 61), ["--size", "61"]),
    "jump": (Jump([Node("a"), Node("b")]), []),
    "modulo-ring": (
        ModuloRing([Node("a"), Node("b")], 100, "sha1"),
        ["--p", "100", "--hash", "sha1"],
    ),
}
HELD = {
    "ring": ("points", [7, 7]),
    "slots": ("slots", [32, 32]),
    "memento": ("bucket", [0, 1]),
    "maglev": ("entries", [31, 30]),
    "jump": ("bucket", [0, 1]),
    "modulo-ring": ("position", [ModuloRing(p=100, hash="sha1").position_of(i) for i in "ab"]),
}


@pytest.mark.parametrize("name", MAKE)
def test_every_algorithm_by_its_nodes_and_settings(name: str) -> None:
    placement, settings = MAKE[name]
    named = ["--node", "a", "--node", "b", "--algorithm", name, *settings]
    shown = as_json("show", *named)
    assert (shown["algorithm"], shown["hash"]) == (name, placement.hash_name)
    assert shown["fingerprint"] == placement.fingerprint()
    assert [row["share"] for row in shown["nodes"]] == list(placement.stats().shares.values())
    key, held = HELD.get(name, ("", []))
    assert [row[key] for row in shown["nodes"] if key] == held
    assert run("show", *named).stdout.splitlines()[-1].split()[0] == "b"
    located = as_json("locate", "alice", *named)["keys"]
    assert located == [{"key": "alice", "node": placement.node("alice").id}]
    run("balance", *named)


@pytest.mark.parametrize(
    ("option", "value", "home"),
    [
        ("--points", "7", "ring"),
        ("--slots", "64", "slots"),
        ("--size", "61", "maglev"),
        ("--p", "9", "modulo-ring"),
        ("--hash", "md5", "modulo-ring"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(option: str, value: str, home: str) -> None:
    for name in MAKE:
        arguments = ["show", "--node", "a", "--algorithm", name, option, value]
        if name == home:
            run(*arguments)
        else:
            assert f"--algorithm {home}" in refusal(*arguments)


def test_a_cluster_shows_its_slots(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    cluster = RedisCluster([Node("a"), Node("b")], {"a": [(0, 99)], "b": [(100, 16383)]})
    path.write_text(cluster.to_json(), "utf-8")
    assert [row["slots"] for row in as_json("show", "--ring", str(path))["nodes"]] == [100, 16284]


def test_show_writes_a_drawing_and_the_ring(tmp_path: Path) -> None:
    svg, path = tmp_path / "a.svg", tmp_path / "ring.json"
    run("show", *NODES, "--svg", str(svg), "--write-ring", str(path))
    assert svg.read_text("utf-8") == RING.to_svg()
    assert Placement.from_json(path.read_text("utf-8")) == RING
    missing = str(tmp_path / "missing" / "a.svg")
    assert "cannot write the drawing" in refusal("show", *NODES, "--svg", missing)


def test_bad_ring_files(tmp_path: Path) -> None:
    assert "missing.json" in refusal("show", "--ring", str(tmp_path / "missing.json"))
    refusal("show", "--ring", str(tmp_path))
    (tmp_path / "bytes.json").write_bytes(b"\xff")
    refusal("show", "--ring", str(tmp_path / "bytes.json"))
    (tmp_path / "half.json").write_text(RING.to_json()[:-5], "utf-8")
    assert "JSON" in refusal("show", "--ring", str(tmp_path / "half.json"))
    (tmp_path / "empty.json").write_text(HashRing().to_json(), "utf-8")
    assert "without nodes" in refusal("locate", "k", "--ring", str(tmp_path / "empty.json"))
