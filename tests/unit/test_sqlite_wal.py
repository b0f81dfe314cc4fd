"""What is told is on the disk, and others write on while it gets there.

The power is cut in thought: what was synced last is kept aside, as it was then, and opened
with the database as any program would after the machine has started again.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from concordant.drivers import registry
from concordant.drivers.sqlite import wal
from concordant.drivers.sqlite.manager import SqliteParticipant
from concordant.errors import OutcomeUnknown
from concordant.locking.operations import Acquire
from concordant.transactions.names import new_gid
from concordant.transactions.operations import Decide, Decision, Listing, Load, OpenOwner
from tests.contract.parties import new_branch
from tests.provision.sqlite_branches import File

SCHEMA = "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'one')"
STATES = "SELECT branch, state FROM concordant_branch"


class Disk:
    """Syncs as ever, keeps what was synced, and can make one sync wait."""

    def __init__(self) -> None:
        self._sync = wal._sync
        self._synced: dict[int, bytes] = {}
        self._held: threading.Event | None = None
        self.waiting = threading.Event()

    def sync(self, fd: int) -> None:
        held, self._held = self._held, None
        if held is not None:
            self.waiting.set()
            assert held.wait(20)
        self._sync(fd)
        status = os.fstat(fd)
        self._synced[status.st_ino] = os.pread(fd, status.st_size, 0)

    def hold(self) -> threading.Event:
        """Make the next sync wait for the event that is returned."""
        self._held = threading.Event()
        return self._held

    def after_power_cut(self, path: Path) -> Path:
        """Return a copy of the database with as much of its log as was synced."""
        copy = path.with_name(f"after-{path.name}")
        shutil.copyfile(path, copy)
        inode = os.stat(f"{path}-wal").st_ino
        Path(f"{copy}-wal").write_bytes(self._synced.get(inode, b""))
        Path(f"{copy}-shm").unlink(missing_ok=True)
        return copy

    def rows(self, path: Path, query: str) -> list[tuple[Any, ...]]:
        """Return what a program reads after a power cut."""
        with closing(sqlite3.connect(self.after_power_cut(path))) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(wal, "_sync", made.sync)
    return made


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "f.db", SCHEMA)


@pytest.fixture
def thread() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


@pytest.fixture
def log_url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/log.db"


def decide(url: str, gid: str) -> Decision:
    with closing(registry.transaction_log(url)) as log:
        [opened] = log.apply([OpenOwner("owner001", 60_000)])
        [decision] = log.apply([Decide(gid, "commit", "owner001", opened.epoch)])  # type: ignore[union-attr]
        assert isinstance(decision, Decision)
        return decision


def test_a_vote_outlives_a_power_cut(file: File, disk: Disk) -> None:
    name = file.prepared("UPDATE t SET v = 'two'")
    assert disk.rows(file.path, STATES) == [(name, "prepared")]
    assert disk.rows(file.path, "SELECT count(*) FROM concordant_reservation") == [(1,)]


@pytest.mark.parametrize("commit", [True, False])
def test_phase_two_outlives_a_power_cut(commit: bool, file: File, disk: Disk) -> None:
    name = file.prepared("UPDATE t SET v = 'two'")
    assert file.participant.resolve(name, commit) == "done"
    assert disk.rows(file.path, STATES) == ([(name, "committed")] if commit else [])
    assert disk.rows(file.path, "SELECT v FROM t") == [("two" if commit else "one",)]


def test_a_decision_outlives_a_power_cut(log_url: str, tmp_path: Path, disk: Disk) -> None:
    # Open all the time, or the last one that closes the file would sync it.
    with closing(registry.transaction_log(log_url)) as other:
        other.apply([Load("g")])
        assert decide(log_url, "g").outcome == "commit"
        assert disk.rows(tmp_path / "log.db", "SELECT gid FROM decisions") == [("g",)]


def test_locks_are_not_synced(tmp_path: Path, disk: Disk) -> None:
    with closing(registry.lock_store(f"sqlite://{tmp_path}/locks.db")) as locks:
        locks.apply([Acquire("name", "owner", 60_000)])
        tables = "SELECT count(*) FROM sqlite_master"
        assert disk.rows(tmp_path / "locks.db", tables) == [(0,)]


def test_others_write_on_while_a_vote_is_synced(
    file: File, disk: Disk, thread: Callable[..., Future[Any]]
) -> None:
    file.participant.resource()
    release, name = disk.hold(), new_branch()
    voting = thread(file.vote, "UPDATE t SET v = 'two'", name=name)
    assert disk.waiting.wait(20)
    file.rows("INSERT INTO t VALUES (2, 'plain')")
    with closing(SqliteParticipant(file.url)) as other:
        branch = other.begin(new_branch())
        branch.connection.execute("INSERT INTO t VALUES (3, 'branch')")
        assert branch.prepare().kind == "prepared"
        assert not voting.done()
        # What came before it in the log was synced with it.
        assert (str(name), "prepared") in disk.rows(file.path, STATES)
    release.set()
    assert voting.result(20).kind == "prepared"


def test_others_write_on_while_phase_two_is_synced(
    file: File, disk: Disk, thread: Callable[..., Future[Any]]
) -> None:
    name = file.prepared("UPDATE t SET v = 'two'")
    release = disk.hold()
    resolving = thread(file.participant.resolve, name, True)
    assert disk.waiting.wait(20)
    file.rows("UPDATE t SET v = v || ' and a half'")
    assert file.vote("INSERT INTO t VALUES (2, 'branch')").kind == "prepared"
    assert not resolving.done()
    release.set()
    assert resolving.result(20) == "done"
    assert disk.rows(file.path, "SELECT v FROM t") == [("two and a half",)]


def test_who_finds_the_work_done_by_another_syncs_it(
    file: File, disk: Disk, thread: Callable[..., Future[Any]]
) -> None:
    name = file.prepared("UPDATE t SET v = 'two'")
    with closing(SqliteParticipant(file.url)) as recoverer:
        recoverer.resource()
        release = disk.hold()
        resolving = thread(file.participant.resolve, name, True)
        assert disk.waiting.wait(20)
        assert disk.rows(file.path, STATES) == [(name, "prepared")]
        assert recoverer.resolve(name, True) == "already"
        assert disk.rows(file.path, STATES) == [(name, "committed")]
    release.set()
    assert resolving.result(20) == "done"


@pytest.mark.parametrize("asked", [Load("g"), Decide("g", "abort", "owner002", 1)])
def test_who_reads_a_decision_syncs_it(
    asked: Load | Decide,
    log_url: str,
    tmp_path: Path,
    disk: Disk,
    thread: Callable[..., Future[Any]],
) -> None:
    gids = "SELECT gid FROM decisions"
    with (
        closing(registry.transaction_log(log_url)) as reader,
        closing(registry.transaction_log(log_url)) as writer,
    ):
        [opened] = writer.apply([OpenOwner("owner001", 60_000)])
        reader.apply([Load("g")])
        release = disk.hold()
        decision = Decide("g", "commit", "owner001", opened.epoch)  # type: ignore[union-attr]
        deciding = thread(writer.apply, [decision])
        assert disk.waiting.wait(20)
        assert disk.rows(tmp_path / "log.db", gids) == []
        [found] = reader.apply([asked])
        stands = found.decisions[0] if isinstance(found, Listing) else found
        assert isinstance(stands, Decision)
        assert stands.outcome == "commit"
        assert disk.rows(tmp_path / "log.db", gids) == [("g",)]
        assert not deciding.done()
        release.set()
        assert deciding.result(20)[0].outcome == "commit"


# --- a disk that fails --------------------------------------------------------------------


def break_syncs(participant: SqliteParticipant) -> None:
    """Let every sync of the participant's log fail, as that of a pipe does."""
    participant.resource()
    log = participant._database._wal
    assert log is not None
    reader, writer = os.pipe()
    os.dup2(reader, log._fd)
    os.close(reader)
    os.close(writer)


def test_a_sync_that_fails_is_made_good_by_a_checkpoint(file: File, tmp_path: Path) -> None:
    break_syncs(file.participant)
    name = file.prepared("UPDATE t SET v = 'two'")
    shutil.copyfile(file.path, tmp_path / "alone.db")
    with closing(sqlite3.connect(tmp_path / "alone.db")) as alone:
        assert alone.execute(STATES).fetchall() == [(name, "prepared")]
    assert file.participant.resolve(name, True) == "done"


def test_a_sync_that_fails_for_good_is_never_taken_for_done(tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", SCHEMA, wait_s=0.2)
    break_syncs(file.participant)
    with file.plain() as reading:
        # The checkpoint cannot take away what somebody reads.
        reading.execute("BEGIN")
        reading.execute("SELECT * FROM t").fetchall()
        name = new_branch()
        with pytest.raises(OutcomeUnknown, match="syncing it failed"):
            file.vote("UPDATE t SET v = 'two'", name=name)
        reading.execute("ROLLBACK")
    with pytest.raises(OutcomeUnknown, match="failed before"):
        file.participant.resolve(str(name), True)
    # Another process, whose disk is well, finds what there is.
    assert file.resolve(str(name)) == "already"


def test_a_file_in_another_journal_mode_is_synced_by_every_commit(file: File, disk: Disk) -> None:
    file.participant.resource()
    file.participant.close()
    assert file.rows("PRAGMA journal_mode = DELETE") == [("delete",)]
    participant = SqliteParticipant(file.url)
    with closing(participant):
        ask = "PRAGMA synchronous"
        assert participant._database.read(lambda c: c.execute(ask).fetchone()) == (2,)
        branch = participant.begin(name := new_branch())
        branch.connection.execute("UPDATE t SET v = 'two'")
        assert branch.prepare().kind == "prepared"
        assert participant.resolve(str(name), True) == "done"
    assert file.rows("SELECT v FROM t") == [("two",)]


def test_gids_are_still_decided_once_by_many_at_once(log_url: str, tmp_path: Path) -> None:
    gids = [new_gid() for _ in range(8)]

    def contend(owner: str) -> list[str]:
        with closing(registry.transaction_log(log_url)) as log:
            [opened] = log.apply([OpenOwner(owner, 60_000)])
            outcome = "commit" if owner == "owner001" else "abort"
            found = [
                log.apply([Decide(gid, outcome, owner, opened.epoch)])[0]  # type: ignore[arg-type,union-attr]
                for gid in gids
            ]
        return [each.outcome for each in found if isinstance(each, Decision)]

    with ThreadPoolExecutor(4) as pool:
        one, *others = pool.map(contend, [f"owner00{i}" for i in range(1, 5)])
    assert len(one) == len(gids)
    assert others == [one] * 3
