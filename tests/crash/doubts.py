"""What a fresh coordinator lists of transactions that cannot end by themselves."""

from __future__ import annotations

from concordant.sync.recovery import Doubt
from tests.crash.harness import wait_until
from tests.crash.stage import Stage


def branch_at(stage: Stage, number: int) -> str:
    """Return the one branch that is prepared at a place."""
    [branch] = stage.in_doubt()[number]
    return branch


def heuristics(stage: Stage) -> list[Doubt]:
    """Return what a fresh coordinator lists for a person, after it forgot what it could."""
    with stage.coordinator() as coordinator:
        coordinator.recover()
        coordinator.purge(0)
        return [doubt for doubt in coordinator.doubts() if doubt.verdict == "heuristic"]


def kept_for_a_person(stage: Stage, gid: str, evidence: str) -> None:
    """Recover until the outcome is heuristic, and see that it stays listed."""
    wait_until(lambda: bool(heuristics(stage)), "a heuristic outcome is listed")
    for doubt in heuristics(stage):
        assert doubt.gid == gid
        assert evidence in doubt.evidence
    assert heuristics(stage)
