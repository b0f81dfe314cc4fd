"""The databases of a crash test: accounts, and one row for each effect that came to be.

The balances are moved by an amount and never set, and each run of the work has rows of its
own in `effect`, so an effect that happens twice shows in both.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from tests.crash.job import Place
from tests.provision.backend import Backend, Dialect
from tests.provision.backends import BACKENDS

AMOUNT = 10
BEFORE = {"ada": 100, "bob": 50}


def backend_of(place: Place) -> Backend:
    """Return the backend under test that the place belongs to."""
    return next(backend for backend in BACKENDS if backend.name == place.backend)


def dialect_of(place: Place) -> Dialect:
    """Return the SQL that the place speaks."""
    dialect = backend_of(place).dialect
    assert dialect is not None
    return dialect


def new_effect() -> str:
    """Return a fresh key of an effect."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Books:
    """One database as everybody can see it, read on plain connections."""

    place: Place

    def open(self) -> None:
        """Make the accounts."""
        self.outside("CREATE TABLE account (id TEXT PRIMARY KEY, balance BIGINT NOT NULL)")
        self.outside(
            "CREATE TABLE effect (id TEXT PRIMARY KEY, gid TEXT NOT NULL, amount BIGINT NOT NULL)"
        )
        for account, balance in BEFORE.items():
            self.outside("INSERT INTO account VALUES (?, ?)", account, balance)

    def reset(self) -> None:
        """Make the accounts as they were at first."""
        self.outside("DELETE FROM effect")
        for account, balance in BEFORE.items():
            self.set_balance(account, balance)

    def balances(self) -> dict[str, int]:
        """Return the committed balances."""
        return dict(self.outside("SELECT id, balance FROM account ORDER BY id"))

    def effects(self, gid: str) -> list[int]:
        """Return the amounts that the global transaction moved here, sorted."""
        found = self.outside("SELECT amount FROM effect WHERE gid = ?", gid)
        return sorted(amount for (amount,) in found)

    def all_effects(self) -> list[tuple[str, int]]:
        """Return what each global transaction moved here."""
        found = self.outside("SELECT gid, amount FROM effect")
        return [(gid, amount) for gid, amount in found]

    def moved(self) -> int:
        """Return how much all transfers moved here, by their own accounts."""
        found = self.outside("SELECT amount FROM effect")
        return sum(amount for (amount,) in found)

    def set_balance(self, account: str, balance: int) -> None:
        """Write as somebody else would, who knows nothing of branches."""
        self.outside("UPDATE account SET balance = ? WHERE id = ?", balance, account)

    def outside(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        dialect = dialect_of(self.place)
        return dialect.outside(self.place.url, dialect.sql(statement), *params)
