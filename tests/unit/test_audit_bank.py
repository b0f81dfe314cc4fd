"""The independent audit: a sound bank passes, and each planted corruption is found."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import audit_bank
import pytest

from tests.provision.plain_bank import AUDIT, build, change, checks_of, run, shard, urls


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    return build(tmp_path / "a bank")


def found_in(folder: Path) -> set[str]:
    shards, book = audit_bank.read_directory(folder)
    return {violation.check for violation in audit_bank.audit(shards, book)}


def test_a_sound_bank_passes_as_directory_and_as_urls(bank: Path) -> None:
    done = run(bank, "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"ok": True, "total": 157, "violations": []}
    done = run("-o", "json", *urls(bank))
    assert (done.returncode, json.loads(done.stdout)["total"]) == (0, 157)
    done = run(bank)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "4 accounts hold 157 on 3 shards",
        "3 transfers applied, 1 refused",
        "clean",
    ]


def test_it_needs_neither_this_package_nor_another() -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(AUDIT.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported <= sys.stdlib_module_names


# name: (shard, SQL, what must be found from the directory, what from the tables alone)
CORRUPTIONS: dict[str, tuple[int, str, set[str], set[str]]] = {
    "money created": (
        0,
        "UPDATE accounts SET balance = balance + 5 WHERE id = 'a'",
        {"total", "balance"},
        {"total", "balance"},
    ),
    "money created together with its opening": (
        0,
        "UPDATE accounts SET balance = 74 WHERE id = 'a'; UPDATE opening SET amount = 105 "
        "WHERE account_id = 'a'",
        {"total", "opening"},
        set(),
    ),
    "ledger row lost": (
        1,
        "DELETE FROM ledger WHERE transfer_id = 't1'",
        {"ledger-sum", "ledger-rows", "balance"},
        {"ledger-sum", "ledger-rows", "balance"},
    ),
    "half a transfer undone": (
        1,
        "DELETE FROM ledger WHERE transfer_id = 't1'; UPDATE accounts SET balance = balance - 30 "
        "WHERE id = 'b'",
        {"total", "ledger-sum", "ledger-rows", "overdraft"},
        {"total", "ledger-sum", "ledger-rows", "overdraft"},
    ),
    "amount of one side edited": (
        0,
        "UPDATE ledger SET amount = -31 WHERE transfer_id = 't1'; UPDATE accounts "
        "SET balance = balance - 1 WHERE id = 'a'",
        {"total", "ledger-sum", "ledger-rows"},
        {"total", "ledger-sum"},
    ),
    "refused and applied": (
        2,
        "INSERT INTO refused VALUES ('t1', 'no funds')",
        {"refused-and-applied"},
        {"refused-and-applied"},
    ),
    "refused on two shards": (
        2,
        "INSERT INTO refused VALUES ('t3', 'no funds')",
        {"refused-twice"},
        {"refused-twice"},
    ),
    "refusal lost": (
        1,
        "DELETE FROM refused",
        {"transfer-missing", "requested"},
        set(),
    ),
    "account on two shards": (
        2,
        "INSERT INTO accounts VALUES ('a', 69)",
        {"account-twice", "total", "balance"},
        {"account-twice", "total", "balance"},
    ),
    "empty copy of an account left by a move": (
        2,
        "INSERT INTO accounts VALUES ('a', 0)",
        {"account-twice"},
        {"account-twice"},
    ),
    "account lost": (
        0,
        "DELETE FROM accounts WHERE balance = 0; DELETE FROM opening WHERE amount = 0",
        {"account-missing"},
        set(),
    ),
    "account out of nowhere": (
        2,
        "INSERT INTO accounts VALUES ('x', 0); INSERT INTO opening VALUES ('x', 0)",
        {"account-unknown"},
        set(),
    ),
    "opening doubled": (
        2,
        "INSERT INTO opening VALUES ('c,\"\nd', 0)",
        {"opening", "stray-row"},
        {"opening", "stray-row"},
    ),
    "unknown transfer applied": (
        1,
        "INSERT INTO ledger VALUES ('t9', 'b', -1); UPDATE accounts SET balance = 0 WHERE id = 'b'",
        {"transfer-unknown", "ledger-sum", "ledger-rows", "total", "requested"},
        {"ledger-sum", "ledger-rows", "total"},
    ),
    "unknown transfer refused": (
        1,
        "INSERT INTO refused VALUES ('t9', 'no funds')",
        {"transfer-unknown", "requested"},
        set(),
    ),
    "prepared branch left": (
        1,
        "INSERT INTO concordant_branch VALUES ('b1', 'prepared')",
        {"prepared"},
        {"prepared"},
    ),
    "balance no whole number": (
        0,
        "UPDATE accounts SET balance = 69.5 WHERE id = 'a'",
        {"not-whole", "total", "balance"},
        {"not-whole", "total", "balance"},
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_planted_corruption_is_found(bank: Path, name: str) -> None:
    number, sql, from_directory, from_tables = CORRUPTIONS[name]
    with shard(bank, number) as connection:
        before = connection.total_changes
        connection.executescript(sql)
        assert connection.total_changes > before
    assert found_in(bank) == from_directory
    assert {violation.check for violation in audit_bank.audit(urls(bank))} == from_tables


def test_balances_edited_with_the_total_kept_are_found(bank: Path) -> None:
    change(bank, 0, "UPDATE accounts SET balance = balance - 1 WHERE id = 'a'")
    change(bank, 1, "UPDATE accounts SET balance = balance + 1 WHERE id = 'b'")
    done = run(bank, "-o", "json")
    assert (done.returncode, checks_of(done)) == (1, {"balance"})
    assert json.loads(done.stdout)["total"] == 157


def test_a_transfer_applied_twice_is_found(bank: Path) -> None:
    # Consistent in itself, money kept: only the count of the rows gives it away.
    change(bank, 0, "UPDATE ledger SET amount = -60 WHERE transfer_id = 't1'")
    change(bank, 1, "UPDATE ledger SET amount = 60 WHERE transfer_id = 't1'")
    change(bank, 0, "UPDATE accounts SET balance = balance - 30 WHERE id = 'a'")
    change(bank, 1, "UPDATE accounts SET balance = balance + 30 WHERE id = 'b'")
    done = run(bank, "-o", "json")
    assert (done.returncode, checks_of(done)) == (1, {"ledger-rows"})


def test_a_transfer_applied_again_after_its_account_moved_is_found(bank: Path) -> None:
    # The old owner's ledger row was left behind, so that the primary key caught nothing.
    change(bank, 2, "INSERT INTO ledger VALUES ('t1', 'a', -30)")
    change(bank, 0, "UPDATE accounts SET balance = balance - 30 WHERE id = 'a'")
    change(bank, 2, "INSERT INTO ledger VALUES ('t1', 'b', 30)")
    change(bank, 1, "UPDATE accounts SET balance = balance + 30 WHERE id = 'b'")
    assert found_in(bank) == {"ledger-rows", "stray-row"}
    assert {v.check for v in audit_bank.audit(urls(bank))} == {"ledger-rows", "stray-row"}


def test_a_transfer_booked_to_the_wrong_account_is_found(bank: Path) -> None:
    change(bank, 1, "DELETE FROM ledger WHERE transfer_id = 't4'")
    change(bank, 1, "UPDATE accounts SET balance = balance - 1 WHERE id = 'b'")
    change(bank, 2, "INSERT INTO ledger VALUES ('t4', 'é', 1)")
    change(bank, 2, "UPDATE accounts SET balance = balance + 1 WHERE id = 'é'")
    assert found_in(bank) == {"ledger-rows"}
    assert audit_bank.audit(urls(bank)) == []


def test_an_overdraft_is_found(bank: Path) -> None:
    # t3 was refused for want of funds; apply it all the same.
    change(bank, 1, "DELETE FROM refused")
    change(bank, 2, "INSERT INTO ledger VALUES ('t3', 'é', -500)")
    change(bank, 2, "UPDATE accounts SET balance = balance - 500 WHERE id = 'é'")
    change(bank, 0, "INSERT INTO ledger VALUES ('t3', 'a', 500)")
    change(bank, 0, "UPDATE accounts SET balance = balance + 500 WHERE id = 'a'")
    assert found_in(bank) == {"overdraft"}


def test_rows_left_behind_by_a_move_are_found(bank: Path) -> None:
    change(bank, 0, "DELETE FROM accounts WHERE id = 'a'")
    change(bank, 2, "INSERT INTO accounts VALUES ('a', 69)")
    assert found_in(bank) == {"stray-row"}


def test_sums_beyond_64_bits_are_exact(bank: Path) -> None:
    for number, account in ((0, "a"), (1, "b")):
        change(bank, number, "UPDATE accounts SET balance = ? WHERE id = ?", 2**63 - 1, account)
    details = [v.detail for v in audit_bank.audit(urls(bank)) if v.check == "total"]
    assert details == [f"balances are {2**64 - 2 + 87} in all, openings 157"]
