"""`concordant tx`: what is in doubt, told without changing anything."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from concordant import Coordinator
from concordant.drivers import registry
from concordant.sync.journal import Journal
from concordant.transactions.operations import (
    Advance,
    Create,
    Decide,
    Finish,
    Finished,
    OpenOwner,
    OwnerOpened,
    Record,
)
from tests.provision.command_line import Shell, until

CRASHER = Path(__file__).parents[1] / "provision" / "crashed_transaction.py"


class Scene:
    """Two databases, a log, and what a crashed process left in them."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.log = f"sqlite://{shell.folder}/log.db"
        self.places = [f"sqlite://{shell.folder}/{name}.db" for name in "ab"]
        for name in "ab":
            with closing(sqlite3.connect(shell.folder / f"{name}.db")) as plain:
                plain.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
                plain.commit()

    def crash(self, where: str, ttl_s: float = 1.0) -> None:
        """Let a process die before it carries out this command."""
        command = [sys.executable, str(CRASHER), where, self.log, *self.places]
        environment = {**os.environ, "OWNER_TTL_S": str(ttl_s)}
        assert subprocess.run(command, env=environment, timeout=60).returncode == 9

    def arguments(self) -> list[str]:
        named = [part for place in self.places for part in ("--participant", place)]
        return ["--log", self.log, *named]

    def ls(self) -> dict[str, Any]:
        found: dict[str, Any] = self._shell.json("tx", "ls", *self.arguments(), "-o", "json")
        return found

    def show(self, gid: str) -> dict[str, Any]:
        found: dict[str, Any] = self._shell.json("tx", "show", gid, *self.arguments(), "-o", "json")
        return found

    def states(self) -> list[str]:
        return [doubt["state"] for doubt in self.ls()["doubts"]]

    def recover(self) -> None:
        with Coordinator(self.log, participants=self.places) as coordinator:
            until(lambda: not coordinator.doubts() or coordinator.recover(), "all is recovered")

    def rows(self) -> list[int]:
        counts = []
        for name in "ab":
            with closing(sqlite3.connect(self._shell.folder / f"{name}.db")) as plain:
                counts += plain.execute("SELECT count(*) FROM notes").fetchone()
        return counts


@pytest.fixture
def scene(shell: Shell) -> Scene:
    return Scene(shell)


@pytest.mark.slow
def test_an_undecided_transaction(shell: Shell, scene: Scene) -> None:
    scene.crash("WriteDecision")
    until(lambda: scene.states() == ["undecided"] * 2, "its coordinator is seen to be dead")
    first, second = scene.ls()["doubts"]
    assert (first["gid"], second["gid"]) == ("gid-1", "gid-1")
    assert [each["place"] for each in (first, second)] == scene.places
    assert first["branch"] != second["branch"]
    assert first["owner"] == second["owner"] != ""
    assert 0 < first["age_s"] < 600
    assert not first["owner_alive"]
    assert "recovery will decide abort" in first["evidence"]
    text = shell.run("tx", "ls", *scene.arguments())
    assert text.returncode == 0
    assert all(place in text.stdout for place in scene.places)
    assert first["branch"] in text.stdout
    scene.recover()
    assert scene.ls()["doubts"] == []
    assert scene.rows() == [0, 0]


@pytest.mark.slow
def test_a_decided_transaction(scene: Scene) -> None:
    scene.crash("Commit")
    until(lambda: scene.states() == ["commit"] * 2, "its coordinator is seen to be dead")
    shown = scene.show("gid-1")
    (decision,) = shown["known"]
    assert (decision["outcome"], decision["state"]) == ("commit", "deciding")
    assert {ref["branch"] for ref in decision["branches"]} == {
        doubt["branch"] for doubt in shown["doubts"]
    }
    assert not decision["owner_alive"]
    scene.recover()
    assert scene.states() == []
    assert scene.rows() == [1, 1]
    assert scene.show("gid-1")["known"][0]["state"] == "finished"


def test_what_counts_as_alive_is_left_to_its_coordinator(scene: Scene) -> None:
    scene.crash("Commit", ttl_s=600)
    assert scene.states() == ["live"] * 2
    assert all(doubt["owner_alive"] for doubt in scene.ls()["doubts"])


def test_without_participants_the_log_alone_is_told(shell: Shell, scene: Scene) -> None:
    scene.crash("Commit")
    doubts = shell.json("tx", "ls", "--log", scene.log, "-o", "json")["doubts"]
    assert [(each["kind"], each["state"]) for each in doubts] == [("decision", "commit")] * 2
    assert sorted(each["place"] for each in doubts) == scene.places
    # The log may be named by the common option, too.
    assert shell.json("tx", "--url", scene.log, "ls", "-o", "json")["doubts"] != []


@pytest.mark.slow
def test_looking_changes_nothing(shell: Shell, scene: Scene) -> None:
    scene.crash("WriteDecision")
    until(lambda: scene.states() == ["undecided"] * 2, "its coordinator is seen to be dead")
    before = _content(shell.folder)
    shell.run("tx", "ls", *scene.arguments())
    shell.run("tx", "show", "gid-1", *scene.arguments())
    assert _content(shell.folder) == before
    assert scene.states() == ["undecided"] * 2


def _content(folder: Path) -> dict[str, list[str]]:
    content = {}
    for file in sorted(folder.glob("*.db")):
        with closing(sqlite3.connect(file)) as plain:
            content[file.name] = list(plain.iterdump())
    return content


def test_branches_of_another_log_are_foreign(shell: Shell, scene: Scene) -> None:
    scene.crash("WriteDecision")
    other = f"sqlite://{shell.folder}/other.db"
    with Coordinator(other):
        pass
    scene.log = other
    assert scene.states() == ["foreign"] * 2


def test_records_and_heuristic_outcomes(shell: Shell, scene: Scene) -> None:
    journal = Journal(registry.transaction_log(scene.log))
    opened = journal.ask(OpenOwner("owner123", 60_000), OwnerOpened)
    made = Create("saga-1", "saga", "order/1", "secret payload", "owner123", opened.epoch)
    record = journal.ask(made, Record)
    stuck = Advance("saga-1", record.version, "owner123", opened.epoch, "stuck", "", 0, "no stock")
    journal.ask(stuck, Record)
    journal.decide(Decide("gid-2", "commit", "owner123", opened.epoch))
    journal.ask(Finish("gid-2", True, "went another way"), Finished)
    journal.close()
    doubts = {each["gid"]: each for each in scene.ls()["doubts"]}
    assert (doubts["saga-1"]["kind"], doubts["saga-1"]["state"]) == ("saga", "stuck")
    assert (doubts["saga-1"]["evidence"], doubts["saga-1"]["owner_alive"]) == ("no stock", True)
    assert (doubts["gid-2"]["state"], doubts["gid-2"]["evidence"]) == (
        "heuristic",
        "went another way",
    )
    for arguments in (["ls"], ["show", "saga-1"], ["show", "saga-1", "-o", "json"]):
        shown = shell.run("tx", *arguments, *scene.arguments()).stdout
        assert "saga-1" in shown
        assert "secret payload" not in shown


def test_what_a_person_has_settled_is_shown_with_all_evidence(shell: Shell, scene: Scene) -> None:
    with Coordinator(scene.log) as coordinator:
        owner = coordinator.ownership
        coordinator.journal.decide(Decide("gid-1", "abort", owner.owner, owner.epoch))
        for what in ("a went another way", "b, too"):
            coordinator.journal.ask(Finish("gid-1", True, what), Finished)
        said = "a went another way; b, too"
        shown = shell.run("tx", "show", "gid-1", *scene.arguments()).stdout
        assert re.search(rf"^evidence +{said}$", shown, re.MULTILINE)
        coordinator.settle_by_hand("gid-1", "aborted", "both undone")
    assert scene.ls()["doubts"] == []
    shown = shell.run("tx", "show", "gid-1", *scene.arguments()).stdout
    assert re.search(r"^state +finished$", shown, re.MULTILINE)
    assert re.search(rf"^evidence +{said}; by hand: both undone$", shown, re.MULTILINE)


def test_what_is_over_is_no_doubt(scene: Scene) -> None:
    journal = Journal(registry.transaction_log(scene.log))
    epoch = journal.ask(OpenOwner("owner123", 60_000), OwnerOpened).epoch
    record = journal.ask(Create("saga-1", "saga", "order/1", "", "owner123", epoch), Record)
    journal.ask(Advance("saga-1", record.version, "owner123", epoch, "committed", ""), Record)
    journal.decide(Decide("gid-2", "commit", "owner123", epoch))
    journal.ask(Finish("gid-2"), Finished)
    journal.close()
    assert scene.states() == []
    for gid, state in (("saga-1", "committed"), ("gid-2", "finished")):
        shown = scene.show(gid)
        assert [each["state"] for each in shown["known"]] == [state]
        assert shown["doubts"] == []


@pytest.mark.slow
def test_a_participant_that_does_not_answer_is_named(shell: Shell, scene: Scene) -> None:
    scene.crash("WriteDecision")
    scene.places.append(f"sqlite://{shell.folder}/c.db?wait_s=600")
    # Somebody keeps the whole file for himself, so not even its tables can be read.
    with closing(sqlite3.connect(shell.folder / "c.db")) as plain:
        plain.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY)")
        plain.execute("BEGIN EXCLUSIVE")
        done = shell.run("tx", "ls", *scene.arguments(), "-o", "json")
    assert (done.returncode, done.stderr.count("\n")) == (69, 1)
    assert "c.db" in done.stderr
    found = json.loads(done.stdout)
    assert [each["place"] for each in found["doubts"]] == scene.places[:2]
    assert len(found["unreached"]) == 1


def test_an_unknown_gid(shell: Shell, scene: Scene) -> None:
    with Coordinator(scene.log):
        pass
    assert scene.show("gid-9")["known"] == []
    assert "none" in shell.run("tx", "show", "gid-9", *scene.arguments()).stdout
    assert shell.run("tx", "show", "not a gid", *scene.arguments()).returncode == 64


def test_a_participant_that_is_not_there_is_refused(shell: Shell, scene: Scene) -> None:
    with Coordinator(scene.log):
        pass
    arguments = ["--log", scene.log, "--participant", f"sqlite://{shell.folder}/x.db"]
    assert shell.run("tx", "ls", *arguments).returncode == 64
    assert not (shell.folder / "x.db").exists()
