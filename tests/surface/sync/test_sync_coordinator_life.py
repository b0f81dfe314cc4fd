# Generated from tests/surface/aio/test_aio_coordinator_life.py by tools/unasync.py; do not edit.
"""A coordinator's own life: when it may be used, its lease, and what it leaves in the log."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from concordant import Coordinator, OutcomeUnknown, TransactionAborted, UsageError
from concordant.drivers import registry
from concordant.transactions.operations import (
    CloseOwner,
    Listing,
    LogOperation,
    Query,
)
from tests.provision.memory import MEMORY
from tests.surface.sync.moving import coordinating
from tests.surface.sync.paying import BEFORE, Gate, Places, transfer
from tests.surface.together import Background, eventually

pytestmark = pytest.mark.parametrize("log_backend", [pytest.param(MEMORY, id="memory")])


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Two databases."""
    return Places(tmp_path)


def each_use(coordinator: Coordinator, places: Places) -> None:
    """See that everything one can ask of it is refused."""
    with pytest.raises(UsageError):
        coordinator.transaction(*places.urls).__enter__()
    with pytest.raises(UsageError):
        coordinator.outcome("g-1")
    with pytest.raises(UsageError):
        coordinator.recover()
    with pytest.raises(UsageError):
        coordinator.doubts()
    with pytest.raises(UsageError):
        coordinator.purge()


def test_it_is_of_no_use_before_it_is_entered(log_url: str, places: Places) -> None:
    each_use(Coordinator(log_url), places)


def test_it_is_of_no_use_after_it_is_left(log_url: str, places: Places) -> None:
    with coordinating(log_url) as coordinator:
        pass
    each_use(coordinator, places)
    with pytest.raises(UsageError, match="entered once"):
        coordinator.__enter__()


def test_it_is_entered_once(log_url: str, places: Places) -> None:
    with coordinating(log_url) as coordinator:
        with pytest.raises(UsageError, match="entered once"):
            coordinator.__enter__()
        with coordinator.transaction(*places.urls) as connections:
            transfer(connections)


def test_it_is_of_no_use_in_a_forked_child(log_url: str, places: Places) -> None:
    with coordinating(log_url, participants=places.urls) as coordinator:
        pid = os.fork()
        if not pid:
            refused = 1
            try:
                coordinator.ownership.check_usable()
            except UsageError:
                refused = 0
            finally:
                os._exit(refused)
        assert os.waitpid(pid, 0)[1] == 0
        # The parent's is as good as before.
        with coordinator.transaction(*places.urls) as connections:
            transfer(connections)
    assert places.balances() == places.moved()


@pytest.mark.parametrize(
    "options", [{"owner_ttl_s": 0.1}, {"recover_every_s": 0}, {"owner_ttl_s": float("nan")}]
)
def test_times_that_make_no_sense_are_refused(log_url: str, options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="seconds"):
        Coordinator(log_url, **options)


def test_a_log_that_is_not_there_leaves_nothing_running(log_url: str, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    coordinator = Coordinator(f"sqlite://{tmp_path}/no-such-folder/log.db")
    with pytest.raises(UsageError, match="no-such-folder"):
        coordinator.__enter__()
    left = {thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()}
    assert not {name for name in left if name.startswith("concordant")}
    with pytest.raises(UsageError):
        coordinator.recover()


# --- the lease ----------------------------------------------------------------------------


def end_lease(log_url: str, coordinator: Coordinator) -> Callable[[], object]:
    """End its epoch as time would, and return what tells whether it has taken up the next."""
    epoch = coordinator.ownership.epoch
    log = registry.transaction_log(log_url)
    batch: list[LogOperation] = [CloseOwner(coordinator.ownership.owner, epoch)]
    log.apply(batch)
    log.close()
    return lambda: coordinator.ownership.epoch > epoch


def test_a_lost_lease_is_taken_up_again(log_url: str, places: Places) -> None:
    with coordinating(log_url, owner_ttl_s=0.3) as coordinator:
        taken_up = end_lease(log_url, coordinator)

        def is_taken_up() -> bool:
            return bool(taken_up())

        eventually(is_taken_up)
        with coordinator.transaction(*places.urls) as connections:
            transfer(connections)
    assert places.balances() == places.moved()


def test_what_was_begun_under_a_lost_lease_commits_no_more(
    log_url: str, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def note(pause_s: float) -> None:
        pauses.append(pause_s)

    monkeypatch.setattr("concordant.sync.journal.pause", note)
    with coordinating(log_url, owner_ttl_s=0.3) as coordinator:

        def pay() -> None:
            with coordinator.transaction(*places.urls) as connections:
                taken_up = end_lease(log_url, coordinator)

                def is_taken_up() -> bool:
                    return bool(taken_up())

                eventually(is_taken_up)
                transfer(connections)

        with pytest.raises(OutcomeUnknown, match="silent for longer than its owner_ttl_s"):
            pay()
        # The answer would be the same, however often it is asked for.
        assert pauses == []
        # Others may have aborted it meanwhile, and forgotten that; so it has to be over.
        coordinator.recover()
        assert places.in_doubt() == []
    assert places.balances() == [BEFORE, BEFORE]


def test_what_others_aborted_after_a_lost_lease_is_aborted(log_url: str, places: Places) -> None:
    gate = Gate("deciding", "WriteDecision")
    with (
        coordinating(log_url, executor=gate) as paused,
        coordinating(log_url, participants=places.urls) as other,
    ):

        def pay() -> None:
            with paused.transaction(*places.urls, gid="g-1") as connections:
                transfer(connections)

        paying = Background(pay)
        eventually(gate.was_reached)
        assert other.recover() == 0
        end_lease(log_url, paused)
        assert other.recover() == 2
        gate.open = True
        # Not AlreadyDecided: it is this very attempt that was aborted.
        with pytest.raises(TransactionAborted, match="took this coordinator for dead"):
            paying.result()
        assert other.outcome("g-1") == "abort"
    assert places.balances() == [BEFORE, BEFORE]


# --- what it leaves in the log ------------------------------------------------------------


def decisions(log_url: str) -> dict[str, str]:
    """Return the state of each decision in the log."""
    log = registry.transaction_log(log_url)
    (listing,) = log.apply([Query(unfinished=False)])
    log.close()
    assert isinstance(listing, Listing)
    return {decision.gid: decision.state for decision in listing.decisions}


def test_decisions_that_were_obeyed_are_marked_and_can_be_forgotten(
    log_url: str, places: Places
) -> None:
    with coordinating(log_url, participants=places.urls) as coordinator:
        for gid in ("g-1", "g-2"):
            with coordinator.transaction(*places.urls, gid=gid) as connections:
                transfer(connections)
        coordinator.recover()
        assert decisions(log_url) == {"g-1": "finished", "g-2": "finished"}
        # A week is kept unless told otherwise.
        assert coordinator.purge() == 0
        assert coordinator.purge(0) == 2
        assert decisions(log_url) == {}
    with coordinating(log_url) as another:
        with another.transaction(*places.urls, gid="g-1") as connections:
            transfer(connections)
    assert places.balances() == places.moved(times=3)
    # Marked at the latest when it ends.
    assert decisions(log_url) == {"g-1": "finished"}


def test_a_representation_names_the_log_and_no_more(log_url: str) -> None:
    coordinator = Coordinator(log_url)
    assert repr(coordinator) == f"<Coordinator log={log_url}>"
    assert coordinator.capabilities.backend == "memory"
