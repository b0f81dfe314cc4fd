"""``concordant ring``: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from concordant.cli.ring import parse_node, ring
from concordant.errors import UsageError
from concordant.placement import HashRing, Node
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


def test_show_as_json() -> None:
    owned = shares(RING)
    assert as_json("show", *NODES) == {
        "fingerprint": RING.fingerprint(),
        "epoch": 0,
        "points": 160,
        "nodes": [
            {"id": "a", "weight": 2.0, "zone": "eu", "points": 320, "share": owned["a"]},
            {"id": "b", "weight": 1.0, "zone": None, "points": 160, "share": owned["b"]},
            {"id": "c", "weight": 1.0, "zone": None, "points": 160, "share": owned["c"]},
        ],
    }


def test_show_as_text() -> None:
    lines = run("show", *NODES).stdout.splitlines()
    assert RING.fingerprint() in lines[0]
    assert lines[3].split() == ["a", "weight", "2", "320", "points", *_percent("a"), "eu"]
    assert lines[4].split() == ["b", "weight", "1", "160", "points", *_percent("b")]
    assert len(lines) == 6


def _percent(node_id: str) -> list[str]:
    return [f"{shares(RING)[node_id]:.2%}"]


def test_show_of_an_empty_ring_and_addresses_stay_private(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    path.write_text(HashRing().to_json(), "utf-8")
    assert as_json("show", "--ring", str(path))["nodes"] == []
    assert len(run("show", "--ring", str(path)).stdout.splitlines()) == 3
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


def test_bad_ring_files(tmp_path: Path) -> None:
    assert "missing.json" in refusal("show", "--ring", str(tmp_path / "missing.json"))
    refusal("show", "--ring", str(tmp_path))
    (tmp_path / "bytes.json").write_bytes(b"\xff")
    refusal("show", "--ring", str(tmp_path / "bytes.json"))
    (tmp_path / "half.json").write_text(RING.to_json()[:-5], "utf-8")
    assert "JSON" in refusal("show", "--ring", str(tmp_path / "half.json"))
    (tmp_path / "empty.json").write_text(HashRing().to_json(), "utf-8")
    assert "without nodes" in refusal("locate", "k", "--ring", str(tmp_path / "empty.json"))
