"""``concordant ring plan`` and ``diff``: what moves between two placements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from concordant.cli.ring import ring
from concordant.errors import UsageError
from concordant.placement import HashRing, IntJump, ModuloRing, Node, Placement, Plan, Slots

NODES = ["--node", "a@x", "--node", "b@y", "--node", "c@x"]
OLD = HashRing([Node("a", zone="x"), Node("b", zone="y"), Node("c", zone="x")])
CHANGE = ["--add", "d=2@y", "--remove", "a", "--reweight", "b=0.5"]
NEW = OLD.with_nodes([Node("d", 2.0, "y")], ["a"], {"b": 0.5})
KEYS = [f"user:{number}" for number in range(300)]


def invoke(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(ring, arguments, input=stdin)


def run(*arguments: str, stdin: str = "") -> str:
    result = invoke(*arguments, stdin=stdin)
    assert result.exception is None, result.exception
    return result.stdout


def refusal(*arguments: str) -> str:
    result = invoke(*arguments)
    assert isinstance(result.exception, UsageError), result
    return str(result.exception)


def told(*arguments: str, stdin: str = "") -> Any:
    return json.loads(run(*arguments, "-o", "json", stdin=stdin))


def saved(folder: Path, placement: Placement, name: str) -> str:
    path = folder / name
    path.write_text(placement.to_json(), "utf-8")
    return str(path)


# --- plan ---------------------------------------------------------------------------------


def test_a_plan_as_json() -> None:
    plan = OLD.plan(NEW)
    shown = told("plan", *NODES, *CHANGE)
    flows = [(flow["from"], flow["to"], flow["share"]) for flow in shown.pop("matrix")]
    assert shown == {
        "old_fingerprint": OLD.fingerprint(),
        "new_fingerprint": NEW.fingerprint(),
        "replicas": 1,
        "exact": True,
        "moved_share": plan.moved_share,
        "minimum_share": plan.minimum_share,
    }
    assert {(old, new): share for old, new, share in flows} == plan.matrix
    assert [share for *_, share in flows] == sorted(plan.matrix.values(), reverse=True)


def test_a_plan_as_text() -> None:
    plan = OLD.plan(NEW)
    facts, _, table = run("plan", *NODES, *CHANGE).partition("\n\n")
    assert f"{plan.moved_share:.2%} of all keys" in facts
    assert f"{plan.minimum_share:.2%}" in facts
    lines = [line.split() for line in table.splitlines()]
    assert lines[0] == ["FROM", "TO", "SHARE"]
    (from_id, to_id), share = max(plan.matrix.items(), key=lambda item: item[1])
    assert lines[1] == [from_id, to_id, f"{share:.3%}"]
    assert len(lines) == 1 + len(plan.matrix)


def test_the_largest_flows_are_listed() -> None:
    flows = len(OLD.plan(NEW).matrix)
    text = run("plan", *NODES, *CHANGE, "--top", "2")
    assert f"and {flows - 2} more flows" in text
    assert len(told("plan", *NODES, *CHANGE, "--top", "2")["matrix"]) == 2
    assert "FROM" not in run("plan", *NODES, *CHANGE, "--top", "0")


def test_the_id_of_a_new_weight_is_read_from_the_right() -> None:
    old = HashRing([Node("k=v"), Node("b")])
    shown = told("plan", "--node", "k=v=1", "--node", "b", "--reweight", "k=v=3")
    new = old.with_nodes(reweight={"k=v": 3.0})
    assert shown["new_fingerprint"] == new.fingerprint()


@pytest.mark.parametrize("share", ["0.2", "20%", "20.0%"])
def test_a_plan_in_steps(share: str) -> None:
    steps = OLD.plan(NEW).steps(0.2)
    shown = told("plan", *NODES, *CHANGE, "--max-share", share)["steps"]
    assert shown == [
        {"number": s.number, "start": str(s.start), "end": str(s.end), "share": s.share}
        for s in steps
    ]
    assert len(steps) > 2
    lines = run("plan", *NODES, *CHANGE, "--max-share", share).splitlines()
    assert lines[-len(steps) - 1].split()[0] == "STEP"
    assert lines[-1].split()[0] == str(len(steps) - 1)


def test_a_plan_for_replicas() -> None:
    plan = OLD.plan(NEW, 2, spread="zone")
    shown = told("plan", *NODES, *CHANGE, "--replicas", "2", "--spread", "zone")
    assert (shown["replicas"], shown["moved_share"]) == (2, plan.moved_share)
    assert "copies, 2 a key" in run("plan", *NODES, *CHANGE, "--replicas", "2")
    assert "--replicas" in refusal("plan", *NODES, *CHANGE, "--spread", "zone")


def test_between_two_files_of_any_algorithm(tmp_path: Path) -> None:
    old = ModuloRing([Node("a"), Node("b")])
    new = Slots([Node("a"), Node("b")], 64)
    files = ["--ring", saved(tmp_path, old, "old"), "--to", saved(tmp_path, new, "new")]
    shown = told("plan", *files)
    assert shown["exact"] is False
    assert shown["moved_share"] == old.plan(new).moved_share
    assert "sampled keys" in run("plan", *files)


def test_what_a_plan_writes(tmp_path: Path) -> None:
    plan, new, svg = (tmp_path / name for name in ("plan.json", "new.json", "plan.svg"))
    run(
        *("plan", *NODES, *CHANGE, "--save", str(plan)),
        *("--write-ring", str(new), "--svg", str(svg)),
    )
    assert Plan.from_json(plan.read_text("utf-8")).to_json() == OLD.plan(NEW).to_json()
    assert Placement.from_json(new.read_text("utf-8")) == NEW
    assert Placement.from_json(new.read_text("utf-8")).epoch == 1
    assert svg.read_text("utf-8") == OLD.plan(NEW).to_svg()
    # What was written is what the next change begins with.
    assert told("plan", "--ring", str(new), "--to", str(new))["moved_share"] == 0
    missing = str(tmp_path / "none" / "plan.json")
    assert "cannot write the plan" in refusal("plan", *NODES, *CHANGE, "--save", missing)


def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "directory" in refusal("plan", *NODES, *CHANGE, "--svg", str(tmp_path / "folder"))


@pytest.mark.parametrize("command", ["plan", "diff"])
def test_changes_that_make_no_sense(command: str, tmp_path: Path) -> None:
    new = saved(tmp_path, NEW, "new")
    assert "say what changes" in refusal(command, *NODES)
    assert "one of the two ways" in refusal(command, *NODES, "--to", new, "--add", "d")
    assert "'z'" in refusal(command, *NODES, "--remove", "z")
    assert "'a'" in refusal(command, *NODES, "--add", "a")
    assert "--reweight ID=WEIGHT" in refusal(command, *NODES, "--reweight", "a")
    assert "--reweight ID=WEIGHT" in refusal(command, *NODES, "--reweight", "a=much")
    assert "missing" in refusal(command, *NODES, "--to", str(tmp_path / "missing"))
    assert "ID[=WEIGHT]" in refusal(command, *NODES, "--add", "d=x")
    assert "--node" in refusal(command, "--add", "d")
    jump = ["--node", "a", "--node", "b", "--algorithm", "jump"]
    assert "last bucket" in refusal(command, *jump, "--remove", "a")


@pytest.mark.parametrize("share", ["0", "2", "x", "", "%", "nan", "-5%"])
def test_shares_of_steps_that_make_no_sense(share: str) -> None:
    refusal("plan", *NODES, *CHANGE, "--max-share", share)


# --- diff ---------------------------------------------------------------------------------


def moves() -> list[tuple[str, str, str]]:
    owners = ((key, OLD.node(key).id, NEW.node(key).id) for key in KEYS)
    return [row for row in owners if row[1] != row[2]]


def test_a_diff_as_text() -> None:
    result = invoke("diff", *NODES, *CHANGE, stdin="\n".join(KEYS))
    assert result.exit_code == 0
    assert [tuple(line.split("\t")) for line in result.stdout.splitlines()] == moves()
    share = len(moves()) / len(KEYS)
    assert result.stderr == f"concordant: {len(moves())} of 300 keys move ({share:.2%})\n"


def test_a_diff_as_json(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("\n".join(KEYS[10:]), "utf-8")
    assert told("diff", *NODES, *CHANGE, *KEYS[:10], "--keys", str(path)) == {
        "old_fingerprint": OLD.fingerprint(),
        "new_fingerprint": NEW.fingerprint(),
        "moves": [{"key": key, "from": old, "to": new} for key, old, new in moves()],
        "keys": 300,
        "moved": len(moves()),
    }


def test_a_diff_of_nothing(tmp_path: Path) -> None:
    result = invoke("diff", *NODES, *CHANGE)
    assert (result.stdout, result.stderr) == ("", "concordant: 0 of 0 keys move\n")
    shown = told("diff", *NODES, "--reweight", "a=1", *KEYS)
    assert (shown["moves"], shown["keys"], shown["moved"]) == ([], 300, 0)
    result = invoke("diff", *NODES, *CHANGE, "k", "--keys", str(tmp_path / "none"), "-o", "json")
    assert isinstance(result.exception, UsageError)
    assert result.stdout == ""


def test_a_diff_with_nobody() -> None:
    rows = told("diff", "--node", "a", "--remove", "a", "k")["moves"]
    assert rows == [{"key": "k", "from": "a", "to": None}]
    assert run("diff", "--node", "a", "--remove", "a", "k") == "k\ta\t(nobody)\n"


def test_a_diff_across_algorithms(tmp_path: Path) -> None:
    new = Slots([Node("a"), Node("b")], 64)
    named = ["--node", "a", "--node", "b", "--algorithm", "modulo-ring"]
    rows = told("diff", *named, "--to", saved(tmp_path, new, "new"), *KEYS)["moves"]
    old = ModuloRing([Node("a"), Node("b")])
    assert [row["key"] for row in rows] == [
        key for key in KEYS if old.node(key).id != new.node(key).id
    ]
    hashed = saved(tmp_path, IntJump([Node("a")]), "hashed")
    assert "share no keys" in refusal("diff", *named, "--to", hashed, "k")
