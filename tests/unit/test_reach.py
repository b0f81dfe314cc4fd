"""Asking several backends whether they are there: side by side, and within one bound."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from concordant.cli.reach import REACH_S, Asking, check_all
from concordant.errors import BackendUnavailable

# Seconds of processes, waits or examples: more than daily use waits for.
pytestmark = pytest.mark.slow

_WAIT_S = 30.0


@pytest.fixture
def end() -> Iterator[threading.Event]:
    """What whoever hangs waits for."""
    event = threading.Event()
    yield event
    event.set()


def test_all_are_asked_at_the_same_time() -> None:
    meeting = threading.Barrier(6)

    def answer() -> None:
        meeting.wait(_WAIT_S)  # which only all six together can pass

    check_all([(f"place {number}", answer) for number in range(6)])
    assert not meeting.broken


def test_the_first_that_fails_is_told() -> None:
    def refuse() -> None:
        raise BackendUnavailable("refused")

    with pytest.raises(BackendUnavailable, match="refused"):
        check_all([("good", lambda: None), ("bad", refuse), ("worse", refuse)])


def test_one_that_hangs_is_told_by_its_place(end: threading.Event) -> None:
    def hang() -> None:
        end.wait(_WAIT_S)

    with pytest.raises(BackendUnavailable, match=f"there did not answer within {REACH_S:g} s"):
        check_all([("here", lambda: None), ("there", hang)])


def test_the_limit_counts_from_when_it_was_asked(end: threading.Event) -> None:
    asking = Asking("there", lambda: end.wait(_WAIT_S))
    time.sleep(0.2)
    started_s = time.monotonic()
    with pytest.raises(BackendUnavailable):
        asking.result(0.2)  # which are over
    assert time.monotonic() - started_s < _WAIT_S / 2
    end.set()
