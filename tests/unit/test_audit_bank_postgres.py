"""The independent audit on PostgreSQL: a sound bank passes, each planted corruption is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import audit_bank
import psycopg
import pytest

from concordant.bank.books import Shard
from tests.provision.plain_bank import (
    BALANCES,
    HOMES,
    OPENING,
    TRANSFERS,
    checks_of,
    edit_bank,
    run,
    write_input,
)
from tests.provision.postgres import server

pytestmark = pytest.mark.server

_TABLES = ("accounts", "opening", "ledger", "refused")


@dataclass
class Bank:
    """Three databases and the folder that names them."""

    folder: Path
    urls: list[str]

    def change(self, number: int, *statements: str) -> None:
        """Run statements on one shard, all of which have to hit something."""
        with closing(psycopg.connect(self.urls[number], autocommit=True)) as plain:
            for statement in statements:
                assert plain.execute(statement.encode()).rowcount != 0, statement

    def found(self) -> tuple[set[str], set[str]]:
        """Return the broken rules by the directory, and by the tables alone."""
        shards, book = audit_bank.read_directory(self.folder)
        assert shards == self.urls
        from_directory = {each.check for each in audit_bank.audit(shards, book)}
        return from_directory, {each.check for each in audit_bank.audit(shards)}


@pytest.fixture(scope="module")
def databases() -> list[str]:
    urls = [server().fresh() for _ in range(3)]
    for url in urls:
        with closing(Shard(url)) as shard:
            shard.prepare()
    return urls


@pytest.fixture
def bank(databases: list[str], tmp_path: Path) -> Iterator[Bank]:
    _fill(databases)
    folder = tmp_path / "bank"
    folder.mkdir()
    write_input(folder)
    edit_bank(folder, shards=databases)
    yield Bank(folder, databases)
    for url in databases:
        with closing(psycopg.connect(url, autocommit=True)) as plain:
            left = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
            for (gid,) in plain.execute(left).fetchall():
                plain.execute(f"ROLLBACK PREPARED '{gid}'".encode())


def _fill(databases: list[str]) -> None:
    """Fill the shards with the bank of plain_bank: t1, t2 and t4 applied, t3 refused."""
    for number, url in enumerate(databases):
        with closing(psycopg.connect(url)) as plain:
            plain.execute(f"TRUNCATE {', '.join(_TABLES)}".encode())
            for account in (each for each, home in HOMES.items() if home == number):
                row = (account, BALANCES[account])
                plain.execute("INSERT INTO accounts VALUES (%s, %s)", row)
                plain.execute("INSERT INTO opening VALUES (%s, %s)", (account, OPENING[account]))
            for transfer, source, target, amount in TRANSFERS:
                for account, moved in ((source, -amount), (target, amount)):
                    if transfer != "t3" and HOMES[account] == number:
                        sql = "INSERT INTO ledger VALUES (%s, %s, %s)"
                        plain.execute(sql, (transfer, account, moved))
            if number == 1:
                plain.execute("INSERT INTO refused VALUES ('t3', 'no funds')")
            plain.commit()


def test_a_sound_bank_passes_as_directory_and_as_urls(bank: Bank) -> None:
    done = run(bank.folder, "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"ok": True, "total": 157, "violations": []}
    done = run("-o", "json", *bank.urls)
    assert (done.returncode, json.loads(done.stdout)["total"]) == (0, 157)


def test_it_only_reads(bank: Bank) -> None:
    with closing(psycopg.connect(bank.urls[0], autocommit=True)) as plain:
        before = plain.execute("SELECT pg_current_xact_id()").fetchone()
        assert bank.found() == (set(), set())
        after = plain.execute("SELECT pg_current_xact_id()").fetchone()
    assert before is not None
    assert after is not None
    # Its own reading has taken no transaction id, as every write would.
    assert int(after[0]) == int(before[0]) + 1


def test_created_money_is_found(bank: Bank) -> None:
    bank.change(0, "UPDATE accounts SET balance = balance + 5 WHERE id = 'a'")
    assert bank.found() == ({"total", "balance"}, {"total", "balance"})


def test_a_transfer_that_is_not_twice_in_the_ledger_is_found(bank: Bank) -> None:
    bank.change(
        1,
        "DELETE FROM ledger WHERE transfer_id = 't1'",
        "UPDATE accounts SET balance = balance - 30 WHERE id = 'b'",
    )
    checks = {"total", "ledger-sum", "ledger-rows", "overdraft"}
    assert bank.found() == (checks, checks)


def test_a_transfer_that_is_refused_and_applied_is_found(bank: Bank) -> None:
    bank.change(2, "INSERT INTO refused VALUES ('t1', 'no funds')")
    assert bank.found() == ({"refused-and-applied"}, {"refused-and-applied"})


def test_a_transfer_that_is_refused_on_two_shards_is_found(bank: Bank) -> None:
    bank.change(2, "INSERT INTO refused VALUES ('t3', 'no funds')")
    assert bank.found() == ({"refused-twice"}, {"refused-twice"})


def test_a_lost_refusal_is_found(bank: Bank) -> None:
    bank.change(1, "DELETE FROM refused")
    assert bank.found() == ({"transfer-missing", "requested"}, set())


def test_a_balance_that_opening_and_ledger_do_not_explain_is_found(bank: Bank) -> None:
    bank.change(0, "UPDATE accounts SET balance = balance - 1 WHERE id = 'a'")
    bank.change(1, "UPDATE accounts SET balance = balance + 1 WHERE id = 'b'")
    assert bank.found() == ({"balance"}, {"balance"})


def test_a_branch_that_is_left_prepared_is_found(bank: Bank) -> None:
    bank.change(
        1,
        "BEGIN",
        "UPDATE accounts SET balance = 0 WHERE id = 'b'",
        "PREPARE TRANSACTION 'left by somebody'",
    )
    assert bank.found() == ({"prepared"}, {"prepared"})
    done = run(bank.folder, "-o", "json")
    assert (done.returncode, checks_of(done)) == (1, {"prepared"})
    assert "left by somebody" in done.stdout


@pytest.mark.parametrize("balance", [69, 0])
def test_an_account_on_two_shards_is_found(bank: Bank, balance: int) -> None:
    bank.change(2, f"INSERT INTO accounts VALUES ('a', {balance})")
    checks = {"account-twice", "total", "balance"} if balance else {"account-twice"}
    assert bank.found() == (checks, checks)


def test_rows_left_behind_by_a_move_are_found(bank: Bank) -> None:
    bank.change(0, "DELETE FROM accounts WHERE id = 'a'")
    bank.change(2, "INSERT INTO accounts VALUES ('a', 69)")
    assert bank.found() == ({"stray-row"}, {"stray-row"})


def test_shards_in_schemas_of_one_database_are_told_apart() -> None:
    urls = [server().fresh_schema() for _ in range(2)]
    for number, url in enumerate(urls):
        with closing(Shard(url)) as shard:
            shard.prepare()
            shard.execute("INSERT INTO accounts VALUES (?, 5)", f"a{number}")
            shard.execute("INSERT INTO opening VALUES (?, 5)", f"a{1 - number}")
    # Each opening is where its account is not.
    assert [each.check for each in audit_bank.audit(urls)] == ["stray-row", "stray-row"]
