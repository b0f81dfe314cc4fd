"""``concordant ring balance``: the figures of a placement, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from concordant.cli.ring import ring
from concordant.errors import UsageError
from concordant.placement import HashRing, Jump, Node

NODES = ["--node", "a", "--node", "b=2", "--node", "c"]
RING = HashRing([Node("a"), Node("b", 2.0), Node("c")])
KEYS = [f"user:{number}" for number in range(500)]


def run(*arguments: str, stdin: str = "") -> str:
    result = CliRunner().invoke(ring, ["balance", *arguments], input=stdin)
    assert (result.exception, result.stderr) == (None, "")
    return result.stdout


def facts_of(text: str) -> dict[str, str]:
    pairs = (line.split(maxsplit=1) for line in text.partition("\n\n")[0].splitlines())
    return {pair[0]: pair[1] if len(pair) > 1 else "" for pair in pairs}


def told(*arguments: str, stdin: str = "") -> Any:
    return json.loads(run(*arguments, "-o", "json", stdin=stdin))


def test_without_keys_it_is_about_all_that_could_be() -> None:
    # Nobody is asked for keys: stdin is left alone.
    shown = told(*NODES, stdin="not\nread\n")
    assert shown == {
        "algorithm": "ring",
        "fingerprint": RING.fingerprint(),
        **RING.stats().as_dict(),
    }


def test_keys_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("\n".join(KEYS), "utf-8")
    expected = RING.stats([*KEYS, "user:7"]).as_dict()
    shown = told(*NODES, "user:7", "--keys", str(path))
    assert {name: shown[name] for name in expected} == expected
    assert told(*NODES, "--keys", "-", stdin="\n".join([*KEYS, "user:7"])) == shown
    assert facts_of(run(*NODES, "--keys", str(path)))["shares"] == "counted over 500 keys"


def test_as_text() -> None:
    stats = RING.stats()
    text = run(*NODES)
    facts = facts_of(text)
    assert facts["shares"] == "exact"
    busiest = max(stats.loads, key=lambda node_id: stats.loads[node_id])
    assert facts["busiest"] == f"{stats.max_load:.3f} of its fair share: {busiest}"
    assert facts["variation"] == f"{stats.variation:.2%}"
    assert f"{stats.leavers.worst:.2f} (worst)" in facts["leavers"]
    lines = [line.split() for line in text.partition("\n\n")[2].splitlines()]
    assert lines[0] == ["NODE", "SHARE", "FAIR", "LOAD", "TOP", "HEIR"]
    assert lines[2] == [
        "b",
        f"{stats.shares['b']:.2%}",
        "50.00%",
        f"{stats.loads['b']:.3f}",
        f"{stats.leavers.max_load['b']:.2f}",
    ]


def test_functions_of_the_position_say_that_it_is_expected() -> None:
    text = run("--node", "a", "--node", "b", "--algorithm", "jump")
    assert facts_of(text)["shares"] == "expected of the weights"
    # The first of them cannot leave, so that nothing is known of its heirs.
    assert [line.split() for line in text.splitlines()[-2:]] == [
        ["a", "50.00%", "50.00%", "1.000"],
        ["b", "50.00%", "50.00%", "1.000", "1.00"],
    ]


@pytest.mark.parametrize("placement", [HashRing(), Jump(), HashRing([Node("a")])])
def test_few_nodes_and_no_keys(placement: HashRing, tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    path.write_text(placement.to_json(), "utf-8")
    text = run("--ring", str(path))
    assert facts_of(text)["leavers"] == "nobody can leave keys to others"
    assert told("--ring", str(path))["leavers"]["worst"] is None
    empty = tmp_path / "keys"
    empty.write_bytes(b"")
    shown = told("--ring", str(path), "--keys", str(empty))
    assert (shown["keys"], shown["max_load"]) == (0, None)
    assert facts_of(run("--ring", str(path), "--keys", str(empty)))["busiest"] == ""


def test_keys_need_nodes(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    path.write_text(HashRing().to_json(), "utf-8")
    result = CliRunner().invoke(ring, ["balance", "k", "--ring", str(path)])
    assert isinstance(result.exception, UsageError)
