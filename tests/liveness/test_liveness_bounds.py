"""Whoever waits is served in time: each bound of the table, at four times its value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.crash.cells import collected, matches
from tests.crash.harness import Children
from tests.crash.theatre import Theatre
from tests.liveness.bounds import BOUNDS, FACTOR, Bound, Case, cases
from tests.liveness.scene import Scene
from tests.provision.backends import offering


@pytest.fixture(scope="module")
def stages() -> Iterator[ExitStack]:
    """What ends with the module: the theatre, if a bound needs one."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def theatres() -> dict[str, Theatre]:
    """The theatre, once a bound has asked for it."""
    return {}


@pytest.mark.parametrize(("name", "case"), list(cases()))
def test_a_bound_is_kept(
    name: str,
    case: Case,
    tmp_path: Path,
    stages: ExitStack,
    theatres: dict[str, Theatre],
) -> None:
    def theatre() -> Theatre:
        if not theatres:
            theatres["one"] = Theatre(stages.enter_context(Children()))
        return theatres["one"]

    bound = BOUNDS[name]
    assert bound.measure is not None
    took_s = bound.measure(Scene(tmp_path, case.world, theatre, case.backend, case.combo))
    assert took_s <= FACTOR * bound.value_s


# --- the table ----------------------------------------------------------------------------


def test_every_bound_is_measured_or_shown_elsewhere() -> None:
    named: defaultdict[str, list[str]] = defaultdict(list)
    for name, bound in BOUNDS.items():
        assert bound.value_s > 0, name
        assert bound.cases or bound.elsewhere, name
        assert (bound.measure is not None) == bool(bound.cases), name
        for each in bound.elsewhere:
            file, _, wanted = each.partition("::")
            named[file].append(wanted)
    for file, ids in named.items():
        found = collected(file)
        assert [each for each in ids if not matches(each, found)] == [], file


def concerned(bound: Bound) -> set[str]:
    """Return the drivers of locks on which a bound is measured."""
    return {case.backend.name for case in bound.cases if case.backend is not None}


@pytest.mark.parametrize("name", [name for name, bound in BOUNDS.items() if concerned(bound)])
def test_every_driver_keeps_a_bound_or_says_why_it_does_not_concern_it(name: str) -> None:
    bound = BOUNDS[name]
    drivers = {backend.name for backend in offering("lock_store")}
    assert concerned(bound) | set(bound.not_on) == drivers
    assert not concerned(bound) & set(bound.not_on)
    assert all(len(reason) > 20 for reason in bound.not_on.values())
