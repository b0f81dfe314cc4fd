"""The reference pages say what the code says: errors, limits, promises, tables, names."""

from __future__ import annotations

import inspect
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import pytest

import concordant
from concordant import errors
from concordant.bank.outcome import NUMBERS
from concordant.cli import exits
from concordant.cli.checkup import PORTS as DOCTORS_PORTS
from concordant.drivers import registry
from concordant.drivers.capabilities import Fencing
from concordant.drivers.postgres import schema as postgres_schema
from concordant.drivers.postgres.options import _SECONDS as POSTGRES_SECONDS
from concordant.drivers.redis.options import _PARAMETERS as REDIS_PARAMETERS
from concordant.drivers.redis.options import RedisOptions
from concordant.drivers.sqlite.options import _PARAMETERS as SQLITE_PARAMETERS
from concordant.drivers.sqlite.options import SqliteOptions
from concordant.locking import limits
from concordant.placement.plan import Plan, Router, Step
from concordant.sync.lease import Lease
from concordant.sync.lock import Leases, Lock, Locks
from concordant.transactions import twophase
from concordant.transactions.operations import OwnerStates, SagaState
from concordant.transactions.recovery import Verdict
from tests.cli.pages import ROOT, blocks_of, code_in, rows, section, text_of
from tests.provision.backend import Backend
from tests.provision.backends import BACKENDS, PORTS, offering
from tests.provision.command_line import Shell

GUARANTEES = "docs/reference/guarantees.md"
URLS = "docs/reference/urls.md"


# --- errors, limits -----------------------------------------------------------------------


def test_every_error_is_on_the_page_with_its_exit_code() -> None:
    page = text_of("docs/reference/errors.md")
    public = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.ConcordantError)
    }
    assert public <= code_in(page)
    heading = "What the command line makes of them"
    told = {row[0]: row[1] for row in rows(section("docs/reference/errors.md", heading))}
    for kind, code in exits._CODES:
        said = "permission" if kind is PermissionError else f"`{kind.__name__}`"
        assert said in told[str(code)]


def test_every_limit_is_on_the_page_with_its_value() -> None:
    told = {row[0].strip("`"): row[1] for row in rows(text_of("docs/reference/limits.md"))}
    constants = {name: value for name, value in vars(limits).items() if isinstance(value, int)}
    assert constants
    for name, value in constants.items():
        assert re.sub(r"\D", "", told[name]) == str(value), name


# --- backends -----------------------------------------------------------------------------


def _promised(page: str, heading: str) -> dict[str, dict[str, str]]:
    """Return the table of a page as backend -> row -> cell."""
    head, *body = rows(section(page, heading))
    schemes = [cell.strip("`").partition(":")[0] for cell in head[1:]]
    return {
        scheme: {row[0]: row[column] for row in body} for column, scheme in enumerate(schemes, 1)
    }


def test_the_guarantees_are_those_that_the_suites_hold_the_drivers_to() -> None:
    table = _promised(GUARANTEES, "What each backend guarantees")
    assert sorted(table) == registry.schemes()
    for backend in BACKENDS:
        told, promises = table[backend.name], backend.promises
        assert told["fencing"] == str(promises.fencing)
        for name in ("survives_restart", "across_processes", "across_hosts"):
            assert told[name.replace("_", " ")] == _yes(getattr(promises, name)), backend.name
        assert told["detects dead waiters"] == _yes(promises.detects_dead_waiters)
        assert told["a guard for data on it"] == _has_guard(backend.name)
    for port, title in zip(PORTS, _PORT_TITLES, strict=True):
        having = {scheme for scheme, told in table.items() if told[title] == "yes"}
        assert having == {backend.name for backend in offering(port)}, title
    assert {f"`{level}`" for level in Fencing} <= {row[0] for row in rows(text_of(GUARANTEES))}


_PORT_TITLES = (
    "locks",
    "transaction log",
    "participant in two-phase commit",
    "barriers for saga steps",
)


def _has_guard(backend: str) -> str:
    package = "postgres" if backend == "postgresql" else backend
    folder = Path(concordant.__file__).parent / "drivers" / package
    return _yes((folder / "guard.py").exists())


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def test_the_readme_promises_the_same() -> None:
    table = _promised("README.md", "What each backend promises")
    assert sorted(table) == registry.schemes()
    for backend in BACKENDS:
        told, promises = table[backend.name], backend.promises
        for name, value in asdict(promises).items():
            said = _yes(value) if isinstance(value, bool) else str(value)
            assert told[name.replace("_", " ")] == said, backend.name
    for port, title in zip(PORTS[:3], DOCTORS_PORTS, strict=True):
        having = {scheme for scheme, told in table.items() if told[title] == "yes"}
        assert having == {backend.name for backend in offering(port)}


@pytest.mark.server
@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_the_readme_says_what_the_doctor_says(
    backend: Backend, shell: Shell, tmp_path: Path
) -> None:
    told = _promised("README.md", "What each backend promises")[backend.name]
    assert backend.lock_url is not None
    done = shell.run("doctor", backend.lock_url(tmp_path))
    assert done.returncode == 0, done.stderr
    reports = _reports(done.stdout)
    assert list(reports) == list(DOCTORS_PORTS)
    facts = {name: value for name, value in reports["locks"].items() if name in told}
    assert facts == {name: value for name, value in told.items() if name not in DOCTORS_PORTS}
    for port in DOCTORS_PORTS:
        assert told[port] == _yes(reports[port]["status"] != "absent")
        if told[port] == "yes":
            # Of each use of it, but for the caveat, which is of locks here.
            same = ("across processes", "across hosts", "survives restart")
            assert all(reports[port][name] == told[name] for name in same), port


def _reports(printed: str) -> dict[str, dict[str, str]]:
    """Return what the doctor prints as port -> fact -> value."""
    _, *parts = re.split(r"^(\w+): (\w+)$", printed, flags=re.MULTILINE)
    return {
        port: {"status": status, **dict(re.findall(r"^  ([a-z ]+?)  +(.+)$", facts, re.MULTILINE))}
        for port, status, facts in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    }


def test_each_caveat_is_on_the_page(tmp_path: Path) -> None:
    page = " ".join(text_of(GUARANTEES).split())
    for url in ("memory://notes", f"sqlite://{tmp_path}/a.db", "redis://h", "postgresql://h/d"):
        store = registry.lock_store(url)
        assert f"{store.capabilities.backend}: {store.capabilities.note}" in page
        store.close()


def test_every_parameter_of_a_url_is_on_the_page_with_its_default() -> None:
    told = {row[0].strip("`"): row[1].strip("`") for row in rows(text_of(URLS)) if len(row) == 4}
    known = {*SQLITE_PARAMETERS, *REDIS_PARAMETERS, *POSTGRES_SECONDS}
    assert known | {"connect_timeout", "application_name", "Parameter"} == set(told)
    assert float(told["wait_s"]) == SqliteOptions("x").wait_s
    redis = RedisOptions.parse("redis://host")
    assert told["prefix"] == redis.prefix
    assert float(told["connect_timeout_s"]) == redis.connect_timeout_s
    assert float(told["reply_timeout_s"]) == POSTGRES_SECONDS["reply_timeout_s"]
    assert redis.reply_timeout_s == POSTGRES_SECONDS["reply_timeout_s"]
    assert float(told["lock_timeout_s"]) == POSTGRES_SECONDS["lock_timeout_s"]


def test_who_takes_which_url_is_on_the_page() -> None:
    told = [code_in(row[1]) - {"rediss"} for row in rows(section(URLS, "Who takes what"))[1:]]
    assert told == [set(registry.drivers_with(port)) for port in PORTS]


# --- tables and formats -------------------------------------------------------------------


def _columns(path: Path) -> Iterator[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as plain:
        yield from plain.execute(
            "SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c"
            " WHERE m.type = 'table'"
        )


def test_every_table_and_column_is_on_the_page(tmp_path: Path) -> None:
    page = text_of("docs/reference/tables.md")
    told = {*code_in(page), *(f"k{number}" for number in range(8))}
    log, locks, data = (tmp_path / f"{name}.db" for name in ("log", "locks", "data"))
    with closing(registry.transaction_log(f"sqlite://{log}")) as opened:
        opened.apply([OwnerStates(())])
    with closing(registry.lock_store(f"sqlite://{locks}")) as store:
        store.names()
    with closing(registry.participant(f"sqlite://{data}")) as participant:
        participant.resource()
    with closing(registry.barrier(f"sqlite://{data}")) as barrier:
        barrier.enter("gid", "step", "action").abandon()
    found = [pair for path in (log, locks, data) for pair in _columns(path)]
    assert {"decisions", "locks", "concordant_barrier"} <= {table for table, _ in found}
    for table, column in found:
        assert table in told, table
        assert column in told, f"{table}.{column}"


def test_every_table_of_postgresql_is_on_the_page() -> None:
    told = code_in(text_of("docs/reference/tables.md"))
    made = [value for name, value in vars(postgres_schema).items() if name.isupper()]
    statements = "\n".join(each for each in map(_text, made) if "CREATE TABLE" in each)
    tables = set(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", statements))
    columns = set(re.findall(r"^    ([a-z_]+) (?:text|bigint|jsonb|timestamptz)", statements, re.M))
    assert len(tables) == 8
    assert tables <= told
    assert columns <= told


def _text(value: Any) -> str:
    return "\n".join(value) if isinstance(value, tuple) else str(value)


def test_the_ring_of_the_page_places_as_the_vectors_say() -> None:
    namespace: dict[str, Any] = {}
    first = next(block for block in blocks_of("docs/reference/ring-format.md"))
    exec(first.text, namespace)
    vectors = json.loads((ROOT / "tests/data/ring_vectors.json").read_text("utf-8"))
    page = text_of("docs/reference/ring-format.md")
    assert f"hashes of {len(vectors['xxh64'])} byte strings" in page
    for ring in vectors["rings"]:
        nodes = [(node["id"], node["weight"]) for node in ring["nodes"]]
        table = namespace["table"](nodes, ring["points"])
        for lookup in ring["lookups"]:
            assert namespace["preference_list"](table, lookup["key"]) == lookup["nodes"]


def test_the_banks_json_is_on_its_page() -> None:
    page = "docs/reference/demo-bank.md"
    (shown,) = [json.loads(block.text) for block in blocks_of(page) if block.language == "json"]
    assert list(shown) == [*NUMBERS, "kill_details"]
    told = [row[0].strip("`") for row in rows(section(page, "JSON"))[1:]]
    assert told == list(shown)
    assert set(shown["kill_details"][0]) == {"pid", "gid", "state", "recovered_by"}


# --- states -------------------------------------------------------------------------------


def test_every_state_of_the_machines_is_explained() -> None:
    coordinator = section("docs/explanation/two-phase-commit.md", _STATES)
    assert [row[0] for row in rows(coordinator)[1:]] == list(get_args(twophase.State))
    sagas = " ".join(row[0] + " " + row[1] for row in rows(section(_SAGAS, "States"))[1:])
    assert set(get_args(SagaState)) == set(re.findall(r"[a-z]+", sagas))
    doubts = "docs/how-to/resolve-transactions-in-doubt.md"
    told = code_in(" ".join(row[0] for row in rows(section(doubts, "What the states mean"))))
    assert told == {*get_args(Verdict), "heuristic", "running", "aborting", "stuck"}


_SAGAS = "docs/explanation/sagas-and-barriers.md"
_STATES = "States of the coordinator's machine"


# --- the Python surface -------------------------------------------------------------------


def test_every_public_name_is_on_the_page() -> None:
    told = code_in(text_of("docs/reference/errors.md"))
    surface = " ".join(block.text for block in blocks_of("docs/reference/python.md"))
    for name in concordant.__all__:
        assert name in told or re.search(rf"\b{name}\b", surface), name


@pytest.mark.parametrize(
    "kind",
    [
        concordant.Placement,
        concordant.HashRing,
        concordant.Slots,
        concordant.Memento,
        concordant.Jump,
        concordant.Maglev,
        concordant.ModuloRing,
        concordant.Rendezvous,
        concordant.Balancer,
        Plan,
        Router,
        Step,
        concordant.Client,
        Lock,
        Locks,
        Leases,
        Lease,
        concordant.Coordinator,
        concordant.Saga,
        concordant.StepContext,
        concordant.SagaOutcome,
    ],
)
def test_every_public_method_is_on_the_page(kind: type) -> None:
    names = set(re.findall(r"[.](\w+)", text_of("docs/reference/python.md")))
    public = {name for name in vars(kind) if not name.startswith("_")}
    # What a coordinator is made of.
    inner = {"journal", "ownership", "executor", "recoverer"}
    assert public - inner <= names, kind
