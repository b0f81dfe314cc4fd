"""An operator ends a prepared branch by hand, and what recovery makes of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from concordant import Coordinator
from tests.fault.postgres_trouble import TroubledServer, troubled, until

pytestmark = [pytest.mark.server, pytest.mark.slow]

CRASHER = Path(__file__).parents[1] / "provision" / "crashed_transaction.py"


@pytest.fixture
def server() -> TroubledServer:
    return troubled()


@pytest.mark.parametrize("number", [0, 1])
def test_a_branch_that_was_committed_by_hand_before_the_recovery_is_listed(
    server: TroubledServer, tmp_path: Path, number: int
) -> None:
    places = [server.fresh(), server.fresh()]
    for place in places:
        server.ask(place, "CREATE TABLE notes (id int PRIMARY KEY, text text)")
    log = f"sqlite://{tmp_path}/log.db"
    died = subprocess.run([sys.executable, str(CRASHER), "WriteDecision", log, *places], timeout=60)
    assert died.returncode == 9
    [branch] = server.prepared(places[number])
    server.ask(places[number], f"COMMIT PREPARED '{branch}'")
    with Coordinator(log, participants=places, recover_every_s=0.1) as coordinator:
        until(lambda: [each.verdict for each in coordinator.doubts()] == ["heuristic"])
        [doubt] = coordinator.doubts()
        assert doubt.evidence == f"decided abort, but {branch} has committed"
        assert coordinator.outcome("gid-1") == "abort"
    assert [server.prepared(place) for place in places] == [[], []]
