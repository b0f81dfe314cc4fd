"""A driver that is missing from a contract suite fails the build."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from concordant.drivers import registry
from tests.provision.backend import Backend, Promises
from tests.provision.backends import BACKENDS, PORTS, offering

ROOT = Path(__file__).resolve().parents[2]
WORLDS = ("aio", "sync")
# How the files of a port's suite begin, past test_aio_ or test_sync_.
SUITES = {
    "lock_store": ("lock_store",),
    "transaction_log": ("transaction_log", "log_"),
    "participant": ("participant",),
    "barrier": ("barrier",),
}

_ITEM = re.compile(r"tests/contract/(\w+)/test_\w+?_(\w+)\.py::(test_\w+)(?:\[(.*)\])?$")


@pytest.fixture(scope="module")
def collected() -> dict[tuple[str, str, str], set[str]]:
    """What pytest would run: (world, file, test) and the parameters' ids."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *(f"tests/contract/{world}" for world in WORLDS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for line in done.stdout.splitlines():
        if match := _ITEM.match(line):
            world, file, test, ids = match.groups()
            found[world, file, test].update((ids or "").split("-"))
    return found


def test_every_scheme_has_a_provision() -> None:
    assert sorted(backend.name for backend in BACKENDS) == registry.schemes()


@pytest.mark.parametrize("port", PORTS)
def test_every_driver_that_offers_a_port_is_provided_for_it(port: str) -> None:
    assert sorted(backend.name for backend in offering(port)) == registry.drivers_with(port)


@pytest.mark.parametrize("twin", ["", "async_"])
@pytest.mark.parametrize("port", PORTS)
def test_the_registry_says_of_each_driver_what_its_module_has(port: str, twin: str) -> None:
    modules = {scheme: registry._load(f"{scheme}://") for scheme in registry.schemes()}
    having = [scheme for scheme, module in modules.items() if hasattr(module, twin + port)]
    assert having == registry.drivers_with(port)


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("world", WORLDS)
def test_every_test_of_a_suite_runs_over_every_driver(
    collected: dict[tuple[str, str, str], set[str]], world: str, port: str
) -> None:
    suite = {
        (file, test): ids
        for (its_world, file, test), ids in collected.items()
        if its_world == world and file.startswith(SUITES[port])
    }
    assert len(suite) >= 10
    drivers = set(registry.drivers_with(port))
    missing = {test: drivers - ids for test, ids in suite.items() if not drivers <= ids}
    assert not missing


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("backend", BACKENDS, ids=[backend.name for backend in BACKENDS])
@pytest.mark.parametrize("twin", ["", "async_"])
def test_a_driver_promises_what_the_table_says(
    backend: Backend, port: str, twin: str, tmp_path: Path
) -> None:
    fresh = backend.fresh(port)
    if fresh is None:
        assert backend.name not in registry.drivers_with(port)
        return
    said = getattr(registry, twin + port)(fresh(tmp_path)).capabilities
    assert Promises.of(said) == backend.promises
    assert said.backend == backend.name
    assert said.note.strip()
