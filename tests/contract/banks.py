"""A little bank in a database, as its own users see it: plain tables, plain connections."""

from __future__ import annotations

from tests.provision.backend import Backend

BEFORE = {"ada": 100, "bob": 50, "eve": 0}


def open_bank(backend: Backend, url: str) -> str:
    """Make the accounts and return the URL."""
    assert backend.dialect is not None
    outside = backend.dialect.outside
    outside(url, "CREATE TABLE account (id TEXT PRIMARY KEY, balance BIGINT NOT NULL, note TEXT)")
    for account, balance in BEFORE.items():
        outside(
            url,
            backend.dialect.sql("INSERT INTO account (id, balance) VALUES (?, ?)"),
            account,
            balance,
        )
    return url


def balances(backend: Backend, url: str) -> dict[str, int]:
    """Return what everybody can read: the committed balances."""
    assert backend.dialect is not None
    return dict(backend.dialect.outside(url, "SELECT id, balance FROM account ORDER BY id"))


def set_outside(backend: Backend, url: str, account: str, balance: int) -> None:
    """Write as somebody else would, who knows nothing of branches."""
    assert backend.dialect is not None
    sql = backend.dialect.sql("UPDATE account SET balance = ? WHERE id = ?")
    backend.dialect.outside(url, sql, balance, account)
