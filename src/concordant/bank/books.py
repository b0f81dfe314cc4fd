"""The bank's tables on one shard, and the statements on them.

Plain tables that anybody may read: `accounts`, `opening`, `ledger` and `refused`. Two more
are the bank's own: `declined` is the source account's note that a transfer was refused (it
moves with the account, so that the account's guard covers it), `arrival` counts moves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from concordant.bank.inputs import Account
from concordant.bank.plain import Sql, connect
from concordant.drivers.sqlite.guard import guard as sqlite_guard
from concordant.errors import UsageError
from concordant.locking.names import check_name

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS accounts (id {text} PRIMARY KEY, balance {int} NOT NULL)",
    "CREATE TABLE IF NOT EXISTS opening (account_id {text} PRIMARY KEY, amount {int} NOT NULL)",
    "CREATE TABLE IF NOT EXISTS ledger (transfer_id {text} NOT NULL, account_id {text} NOT NULL,"
    " amount {int} NOT NULL, PRIMARY KEY (transfer_id, account_id))",
    "CREATE TABLE IF NOT EXISTS refused (transfer_id {text} PRIMARY KEY, reason {text} NOT NULL)",
    "CREATE TABLE IF NOT EXISTS declined (transfer_id {text} NOT NULL,"
    " account_id {text} NOT NULL, PRIMARY KEY (transfer_id, account_id))",
    "CREATE TABLE IF NOT EXISTS arrival (account_id {text} PRIMARY KEY, epoch {int} NOT NULL)",
)
# What belongs to an account and moves with it: table, its column with the account's id.
_OWNED: Final = (("opening", "account_id"), ("ledger", "account_id"), ("declined", "account_id"))
# All that a transfer has to know of an account, in one round trip.
_READ: Final = (
    "SELECT balance,"
    " EXISTS (SELECT 1 FROM ledger WHERE transfer_id = ? AND account_id = accounts.id),"
    " EXISTS (SELECT 1 FROM declined WHERE transfer_id = ? AND account_id = accounts.id)"
    " FROM accounts WHERE id = ?"
)
# Both writes in one, where each costs a round trip.
_POST: Final = (
    "WITH changed AS (UPDATE accounts SET balance = ? WHERE id = ? RETURNING id)"
    " INSERT INTO ledger SELECT ?, id, ? FROM changed"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """An account's balance, and whether it has a transfer in its ledger or has declined it."""

    balance: int
    entered: bool
    declined: bool


class Fenced(Protocol):
    """What a guard wants of a lease."""

    @property
    def fence(self) -> int:
        """The fencing token."""
        ...

    @property
    def owner(self) -> str:
        """The id of the acquisition."""
        ...


def lock_name(account: str) -> str:
    """Return the name of the lock (and guard) of an account, whatever its id looks like."""
    name = f"account/{account}"
    try:
        return check_name(name)
    except UsageError:
        # An id may hold control characters, a lock's name may not.
        return "account-sha256/" + hashlib.sha256(account.encode()).hexdigest()


class Books(Sql):
    """The statements, on a connection that somebody else commits."""

    # --- inside a branch, in this order: the guard, the reads, the writes -----------------

    def guard(self, account: str, lease: Fenced) -> None:
        """Let nobody pass who holds an older lease on the account."""
        if self.is_sqlite:
            sqlite_guard(self.connection, lock_name(account), lease)
            return
        from concordant.drivers.postgres.guard import guard  # needs the extra

        guard(self.connection, lock_name(account), lease)

    def balance(self, account: str) -> int | None:
        """Return the balance, or None if the account is not here."""
        value: int | None = self.value("SELECT balance FROM accounts WHERE id = ?", account)
        return value

    def read(self, transfer: str, account: str) -> Standing | None:
        """Return how the account stands to a transfer, or None if it is not here."""
        rows = self.rows(_READ, transfer, transfer, account)
        if not rows:
            return None
        balance, entered, declined = rows[0]
        return Standing(balance, bool(entered), bool(declined))

    def has_refused(self, transfer: str) -> bool:
        """Tell whether the transfer stands refused here."""
        return bool(self.value("SELECT 1 FROM refused WHERE transfer_id = ?", transfer))

    def post(self, transfer: str, account: str, amount: int, balance: int) -> None:
        """Set the balance and write the ledger row that explains it."""
        if not self.is_sqlite:
            self.execute(_POST, balance, account, transfer, amount)
            return
        self.execute("UPDATE accounts SET balance = ? WHERE id = ?", balance, account)
        self.execute("INSERT INTO ledger VALUES (?, ?, ?)", transfer, account, amount)

    def decline(self, transfer: str, account: str) -> None:
        """Note with the source account that the transfer was refused."""
        self.execute("INSERT INTO declined VALUES (?, ?)", transfer, account)

    def refuse(self, transfer: str, reason: str) -> None:
        """Write the refusal, which is final."""
        self.execute("INSERT INTO refused VALUES (?, ?)", transfer, reason)

    # --- what a saga undoes ---------------------------------------------------------------

    def take_back(self, transfer: str, account: str, balance: int) -> None:
        """Set the balance and delete the ledger row that is reversed."""
        self.execute("UPDATE accounts SET balance = ? WHERE id = ?", balance, account)
        sql = "DELETE FROM ledger WHERE transfer_id = ? AND account_id = ?"
        self.execute(sql, transfer, account)

    def undecline(self, transfer: str, account: str) -> None:
        """Delete the account's own note of a refusal."""
        sql = "DELETE FROM declined WHERE transfer_id = ? AND account_id = ?"
        self.execute(sql, transfer, account)

    def unrefuse(self, transfer: str) -> None:
        """Delete a refusal that was never final."""
        self.execute("DELETE FROM refused WHERE transfer_id = ?", transfer)

    # --- moving an account ----------------------------------------------------------------

    def take_out(self, account: str) -> dict[str, list[Any]]:
        """Delete all rows of the account and return them by table."""
        taken: dict[str, list[Any]] = {}
        for table, column in (("accounts", "id"), *_OWNED):
            taken[table] = self.rows(f"SELECT * FROM {table} WHERE {column} = ?", account)
            self.execute(f"DELETE FROM {table} WHERE {column} = ?", account)
        self.execute("DELETE FROM concordant_guard WHERE name = ?", lock_name(account))
        return taken

    def put_in(self, account: str, rows: dict[str, list[Any]], epoch: int) -> None:
        """Insert the rows that `take_out` gave, and note the arrival."""
        for table, taken in rows.items():
            for row in taken:
                marks = ", ".join("?" * len(row))
                self.execute(f"INSERT INTO {table} VALUES ({marks})", *row)
        self.execute("INSERT INTO arrival VALUES (?, ?)", account, epoch)


class Shard(Books):
    """A shard by a connection of its own, each statement committing by itself."""

    def __init__(self, url: str) -> None:
        super().__init__(connect(url))

    def prepare(self) -> None:
        """Make the bank's tables unless they are there."""
        if self.is_sqlite:
            self.execute("PRAGMA journal_mode = WAL")
        for table in _TABLES:
            self.create(table)

    def open_accounts(self, accounts: Iterable[Account]) -> None:
        """Insert accounts that are not there yet, with their openings, in one transaction."""
        self.begin()
        try:
            for account in accounts:
                self.execute(
                    "INSERT INTO accounts VALUES (?, ?) ON CONFLICT DO NOTHING",
                    account.id,
                    account.balance,
                )
                self.execute(
                    "INSERT INTO opening VALUES (?, ?) ON CONFLICT DO NOTHING",
                    account.id,
                    account.balance,
                )
        except BaseException:
            self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    def account_ids(self) -> list[str]:
        """Return the accounts that live here."""
        return [row[0] for row in self.rows("SELECT id FROM accounts")]

    def opened(self) -> int:
        """Return the sum of the openings, exactly."""
        return sum(row[0] for row in self.rows("SELECT amount FROM opening"))

    def total(self) -> int:
        """Return the sum of the balances, exactly."""
        return sum(row[0] for row in self.rows("SELECT balance FROM accounts"))

    def applied_ids(self) -> list[str]:
        """Return the transfers that have ledger rows here, once for each row."""
        return [row[0] for row in self.rows("SELECT transfer_id FROM ledger")]

    def refused_ids(self) -> set[str]:
        """Return the transfers refused here."""
        return {row[0] for row in self.rows("SELECT transfer_id FROM refused")}

    def half_done(self) -> set[str]:
        """Return the transfers with exactly one ledger row here."""
        sql = "SELECT transfer_id FROM ledger GROUP BY transfer_id HAVING count(*) = 1"
        return {row[0] for row in self.rows(sql)}

    def arrivals(self) -> int:
        """Return how many accounts have moved here."""
        return int(self.value("SELECT count(*) FROM arrival"))

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
