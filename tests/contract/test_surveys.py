"""A look at a backend tells what its first use will make, for every driver and port."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from concordant.drivers import registry
from concordant.drivers.capabilities import Survey
from concordant.drivers.urls import file_path
from concordant.errors import GuaranteeUnavailable
from tests.provision.backend import Backend
from tests.provision.backends import PORTS, offering

USES: dict[str, Callable[[Any], Any]] = {
    "lock_store": lambda store: store.names(),
    "transaction_log": lambda log: log.apply([]),
    "participant": lambda participant: participant.resource(),
    "barrier": lambda barrier: barrier.enter("g", "s", "action").abandon(),
}
CASES = [
    pytest.param(
        backend,
        port,
        id=f"{backend.name}-{port}",
        marks=pytest.mark.server if backend.needs_server else (),
    )
    for port in PORTS
    for backend in offering(port)
]


@pytest.mark.parametrize(("backend", "port"), CASES)
def test_what_is_missing_is_made_by_the_first_use(
    backend: Backend, port: str, tmp_path: Path
) -> None:
    fresh = backend.fresh(port)
    assert fresh is not None
    url = fresh(tmp_path)
    found = registry.survey(url, port)
    assert found.hindrance == ""
    assert found.made != (backend.name in ("sqlite", "postgresql"))
    # Looking again finds the same.
    assert registry.survey(url, port) == found
    with closing(getattr(registry, port)(url)) as driver:
        USES[port](driver)
    assert registry.survey(url, port) == Survey()
    if backend.name == "sqlite":
        with closing(sqlite3.connect(file_path(url))) as plain:
            rows = plain.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        assert {name for (name,) in rows} == set(found.missing) - {"the file"}


def test_a_port_that_a_backend_has_not_is_refused() -> None:
    with pytest.raises(GuaranteeUnavailable, match="cannot be a participant"):
        registry.survey("redis://127.0.0.1:1", "participant")


@pytest.mark.parametrize("port", PORTS)
def test_what_cannot_be_made_is_told_beforehand(port: str, tmp_path: Path) -> None:
    nowhere = registry.survey(f"sqlite://{tmp_path}/no/such/x.db", port)
    assert "no/such does not exist; create it" in nowhere.hindrance
    (tmp_path / "x.db").mkdir()
    assert "is a directory" in registry.survey(f"sqlite://{tmp_path}/x.db", port).hindrance
    with closing(sqlite3.connect(tmp_path / "bank.db")) as plain:
        plain.execute("CREATE TABLE accounts (id TEXT PRIMARY KEY)")
    found = registry.survey(f"sqlite://{tmp_path}/bank.db", port)
    # Only what is to have a file of its own minds.
    alone = port in ("lock_store", "transaction_log")
    assert ("holds tables of something else" in found.hindrance) == alone
    assert not found.made
