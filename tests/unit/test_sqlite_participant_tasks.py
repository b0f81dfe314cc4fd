"""The participant for tasks: its connection is awaited, and blocks nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from concordant.drivers import registry
from concordant.drivers.sqlite.aio import AsyncSqliteParticipant
from concordant.drivers.sqlite.guard import guard
from concordant.errors import StaleFence, UsageError
from tests.contract.parties import new_branch
from tests.provision.sqlite_branches import File


@dataclass(frozen=True)
class Holder:
    fence: int
    owner: str = "me"


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(
        tmp_path / "f.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'one')",
    )


@pytest.fixture
async def participant(file: File) -> AsyncIterator[AsyncSqliteParticipant]:
    opened: Any = registry.async_participant(file.url)
    assert isinstance(opened, AsyncSqliteParticipant)
    yield opened
    await opened.aclose()


async def test_statements_and_rows_are_awaited(
    participant: AsyncSqliteParticipant, file: File
) -> None:
    name = new_branch()
    branch = await participant.begin(name)
    connection = branch.connection
    many = [(number, f"v{number}") for number in range(2, 600)]
    inserted = await connection.executemany("INSERT INTO t VALUES (?, ?)", many)
    assert inserted.rowcount == len(many)
    one = await connection.execute("INSERT INTO t(v) VALUES (?)", ("last",))
    assert one.lastrowid == 600
    cursor = await connection.execute("SELECT id, v FROM t ORDER BY id")
    assert [column[0] for column in cursor.description] == ["id", "v"]
    assert await cursor.fetchone() == (1, "one")
    assert await cursor.fetchmany(1) == many[:1]
    rest = [row async for row in cursor]
    assert rest == [*many[1:], (600, "last")]
    assert await cursor.fetchall() == []
    assert (await branch.prepare()).kind == "prepared"
    assert await participant.resolve(str(name), True) == "done"
    assert file.rows("SELECT count(*) FROM t") == [(600,)]
    await branch.abandon()


async def test_what_is_written_for_sqlite3_runs_on_the_branchs_thread(
    participant: AsyncSqliteParticipant,
) -> None:
    branch = await participant.begin(new_branch())
    await branch.connection.run(guard, "a", Holder(5))
    with pytest.raises(StaleFence):
        await branch.connection.run(guard, "a", lease=Holder(4))
    await branch.abandon()


@pytest.mark.parametrize("how", ["commit", "rollback"])
async def test_the_user_cannot_end_it(participant: AsyncSqliteParticipant, how: str) -> None:
    branch = await participant.begin(new_branch())
    with pytest.raises(UsageError):
        await getattr(branch.connection, how)()
    with pytest.raises(UsageError):
        await branch.connection.execute("COMMIT")
    await branch.abandon()


async def test_a_task_that_waits_for_its_turn_holds_up_no_other(
    participant: AsyncSqliteParticipant,
) -> None:
    first = await participant.begin(new_branch())
    second = asyncio.create_task(participant.begin(new_branch()))
    await first.connection.execute("UPDATE t SET v = 'two'")
    assert await participant.in_doubt() == []
    assert not second.done()
    await first.abandon()
    await (await second).abandon()


async def test_a_cancelled_begin_leaves_no_branch(participant: AsyncSqliteParticipant) -> None:
    first = await participant.begin(new_branch())
    second = asyncio.create_task(participant.begin(new_branch()))
    await asyncio.sleep(0.05)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await first.abandon()
    await (await participant.begin(new_branch())).abandon()
