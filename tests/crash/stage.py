"""One set of databases and a log, the children at work on them, and what must hold after."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from concordant import AlreadyDecided, Coordinator
from concordant._bridge.sync import Executor, direct
from concordant.drivers import registry
from concordant.drivers.base import TransactionLog
from concordant.transactions.names import BranchId
from concordant.transactions.operations import (
    Alive,
    CloseOwner,
    Decision,
    Listing,
    OwnerAlive,
    OwnerStates,
    Query,
)
from tests.crash.books import AMOUNT, BEFORE, Books
from tests.crash.harness import PATIENCE_S, Child, Children, wait_until
from tests.crash.job import Fault, Job, Place, Shape, World
from tests.crash.sync.actor import work
from tests.provision.backend import Backend

# Short, so that a crashed coordinator is soon known to be dead.
DEAD_SOON_S = 0.25
# Long, so that a machine under load does not take a living one for dead.
ALIVE_S = 30.0


@dataclass(frozen=True, slots=True)
class Combo:
    """Which backends take part, and which one keeps the log."""

    participants: tuple[Backend, ...]
    log: Backend

    @property
    def pair(self) -> str:
        """The backends that take part, as the table of points names them."""
        return "+".join(backend.name for backend in self.participants)

    def __str__(self) -> str:
        return f"{self.pair}/{self.log.name}"


class Stage:
    """Databases with a little money in them; `places` stand in the coordinator's order."""

    def __init__(
        self, combo: Combo, places: Sequence[Place], children: Children, folder: Path
    ) -> None:
        assert combo.log.log_url is not None
        self.combo = combo
        self.places = tuple(places)
        self.books = [Books(place) for place in places]
        self.folder = folder
        self.log = combo.log.log_url(folder)
        self._children = children
        self._numbers = count(1)

    # --- children -------------------------------------------------------------------------

    def job(self, role: Any, world: World, *faults: Fault, **more: Any) -> Job:
        """Return a job on these databases, in a folder of its own."""
        folder = self.folder / f"child-{next(self._numbers)}"
        places = self.places[:1] if more.get("shape") == "single" else self.places
        return Job(role, world, str(folder), self.log, places, faults=faults, **more)

    def start(self, job: Job) -> Child:
        """Start a child."""
        return self._children.start(job)

    # --- recovery -------------------------------------------------------------------------

    def coordinator(self, executor: Executor = direct) -> Coordinator:
        """Return a fresh coordinator over these databases, which recovers when it is told."""
        urls = [place.url for place in self.places]
        return Coordinator(
            self.log,
            participants=urls,
            owner_ttl_s=ALIVE_S,
            recover_every_s=3600,
            executor=executor,
        )

    def settle(self) -> None:
        """Recover with a fresh coordinator until nothing is left to do."""
        with self.coordinator() as coordinator:
            end = time.monotonic() + PATIENCE_S
            while coordinator.doubts() or self.unfinished(coordinator):
                assert time.monotonic() < end, coordinator.doubts()
                coordinator.recover()
                time.sleep(0.005)

    @staticmethod
    def unfinished(coordinator: Coordinator) -> Sequence[Decision]:
        """Return the decisions that not everybody has obeyed."""
        return coordinator.journal.unfinished().decisions

    def in_doubt(self) -> list[list[str]]:
        """Return the prepared branches, place by place."""
        found = []
        for place in self.places:
            with closing(registry.participant(place.url)) as participant:
                found.append([branch.branch for branch in participant.in_doubt()])
        return found

    def wait_dead(self) -> None:
        """Wait until whoever left something in doubt is known to be dead."""
        with closing(registry.transaction_log(self.log)) as log:
            states = OwnerStates(self._owners(log))
            wait_until(lambda: log.apply([states]) == [Alive()], f"{states} are dead")

    def declare_dead(self) -> None:
        """End the leases of those who have something in doubt, as if their time were over."""
        with closing(registry.transaction_log(self.log)) as log:
            for owner, epoch in self._owners(log):
                assert log.apply([CloseOwner(owner, epoch)]) == [OwnerAlive()]

    def _owners(self, log: TransactionLog) -> tuple[tuple[str, int], ...]:
        (listing,) = log.apply([Query()])
        assert isinstance(listing, Listing)
        owners = {(each.owner, each.epoch) for each in listing.decisions}
        for branch in [branch for place in self.in_doubt() for branch in place]:
            parsed = BranchId.parse(branch)
            assert parsed is not None
            owners.add((parsed.owner, parsed.epoch))
        return tuple(owners)

    # --- what must hold -------------------------------------------------------------------

    def applied(self, gid: str, shape: Shape) -> bool:
        """Return whether the transfer has happened; fails unless wholly or not at all."""
        found = [books.effects(gid) for books in self.books]
        moved = [books.balances() for books in self.books]
        expected = _expected(shape, len(self.places))
        if found == [sorted(amounts.values()) for amounts in expected]:
            assert moved == [_after(amounts) for amounts in expected], moved
            return True
        assert found == [[]] * len(self.places), f"torn, or not exactly once: {found}"
        assert moved == [BEFORE] * len(self.places), moved
        return False

    def check(self, job: Job, ended: str | None, outcome: str) -> None:
        """Hold the settled databases to the outcome and to what the caller was told."""
        applied = self.applied(job.gid, job.shape)
        assert applied == (outcome == "commit")
        assert self.in_doubt() == [[] for _ in self.places]
        if ended == "committed":
            assert applied
        elif ended in ("TransactionAborted", "ConnectionResetError"):
            assert not applied
        else:
            assert ended in (None, "OutcomeUnknown"), ended
        with self.coordinator() as coordinator:
            assert coordinator.recover() == 0
            assert not coordinator.doubts()
            if not job.named:
                return
            decided = coordinator.outcome(job.gid)
            assert decided == "commit" if applied else decided in (None, "abort")
            self._rerun(coordinator, job, decided)
        # A gid that has its outcome is never worked on again; any other may be used.
        assert self.applied(job.gid, job.shape) == (decided != "abort")

    def _rerun(self, coordinator: Coordinator, job: Job, decided: str | None) -> None:
        """Try the same gid once more, as a caller would who never got his answer."""
        # This time nobody refuses.
        job = replace(job, shape="transfer" if job.shape == "refused" else job.shape)
        transaction = coordinator.transaction(*job.urls(), gid=job.gid)
        if decided is None:
            with transaction as connections:
                work(job, connections)
            return
        with pytest.raises(AlreadyDecided) as caught:
            transaction.__enter__()
        assert caught.value.outcome == decided


def _expected(shape: Shape, places: int) -> list[dict[str, int]]:
    """Return what the transfer moves in each account, place by place."""
    if shape in ("reading", "single"):
        return [{"ada": -AMOUNT, "bob": AMOUNT}] + [{} for _ in range(places - 1)]
    others = places - 1
    return [{"ada": -AMOUNT * others}] + [{"bob": AMOUNT} for _ in range(others)]


def _after(amounts: dict[str, int]) -> dict[str, int]:
    return {account: before + amounts.get(account, 0) for account, before in BEFORE.items()}
