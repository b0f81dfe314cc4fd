"""What outlives a scenario: the zygote, and the databases of servers, which are slow to make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from concordant.drivers import registry
from tests.crash.books import Books
from tests.crash.harness import Children
from tests.crash.job import Place
from tests.crash.stage import Combo, Stage
from tests.provision.backend import Backend

# A database and the id by which coordinators order it.
Ordered = tuple[str, Place]


class Theatre:
    """Sets up a stage for each scenario; one scenario at a time."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self._kept: defaultdict[str, list[Ordered]] = defaultdict(list)

    @contextmanager
    def stage(self, combo: Combo, folder: Path, places: int = 2) -> Iterator[Stage]:
        """Give a stage of so many databases; if the scenario fails, they are left as they are."""
        backends = [combo.participants[i % len(combo.participants)] for i in range(places)]
        taken = sorted((self._take(backend, folder) for backend in backends), key=lambda x: x[0])
        yield Stage(combo, [place for _, place in taken], self._children, folder)
        for ordered in taken:
            self._kept[ordered[1].backend].append(ordered)

    @contextmanager
    def stage_with(self, combo: Combo, folder: Path, url: str) -> Iterator[Stage]:
        """Give a stage on which the last backend's place is the new database at the URL."""
        *others, own = combo.participants
        taken = [*(self._take(each, folder) for each in others), _open(Place(own.name, url))]
        places = [place for _, place in sorted(taken, key=lambda x: x[0])]
        yield Stage(combo, places, self._children, folder)
        for ordered in taken[:-1]:
            self._kept[ordered[1].backend].append(ordered)

    def _take(self, backend: Backend, folder: Path) -> Ordered:
        kept = self._kept[backend.name]
        if kept and backend.needs_server:
            ordered = kept.pop()
            Books(ordered[1]).reset()
            return ordered
        assert backend.participant_url is not None
        return _open(Place(backend.name, backend.participant_url(folder)))


def _open(place: Place) -> Ordered:
    """Lay the books into a new database."""
    Books(place).open()
    with closing(registry.participant(place.url)) as participant:
        return participant.resource(), place
