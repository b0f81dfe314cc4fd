"""What one bank is: where everything lies, kept as `bank.json` in its directory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from concordant.bank.inputs import Account, Transfer, read_accounts, read_transfers
from concordant.bank.placing import Placing, place
from concordant.bank.plain import plain_url
from concordant.errors import UsageError
from concordant.placement import HashRing, Node

Without = Literal["", "locks", "transactions", "ring"]
Pattern = Literal["2pc", "saga"]
ACCOUNTS_FILE: Final = "accounts.csv"
TRANSFERS_FILE: Final = "transfers.csv"
PLAN_FILE: Final = "bank.json"

# Short enough that a killed worker's accounts are free again while people watch.
LOCK_TTL_S: Final = 2.0
OWNER_TTL_S: Final = 1.5


@dataclass(frozen=True, slots=True)
class BankPlan:
    """Everything a worker must know; `shards` maps the names on the ring to URLs.

    `id` keeps banks apart that share a coordination store.
    """

    id: str
    directory: str
    shards: dict[str, str]
    joining: str
    joining_url: str
    coordination: str
    log: str
    pattern: Pattern = "2pc"
    workers: int = 4
    kills: int = 3
    seed: int = 1
    without: Without = ""

    def first_ring(self) -> Placing:
        """Return the placement before the new shard joins."""
        return place([Node(name) for name in self.shards], self.without == "ring")

    def last_ring(self) -> Placing:
        """Return the placement once the new shard has joined."""
        nodes = [Node(name) for name in (*self.shards, self.joining)]
        return place(nodes, self.without == "ring")

    def moved_minimum(self, accounts: Iterable[Account]) -> int:
        """Return how many accounts change their owner when a ring places them."""
        first = HashRing([Node(name) for name in self.shards])
        last = first.with_nodes(add=[Node(self.joining)])
        return sum(first.node(each.id) != last.node(each.id) for each in accounts)

    def urls(self) -> dict[str, str]:
        """Return the URL of every shard, the joining one too."""
        return {**self.shards, self.joining: self.joining_url}

    def save(self, accounts: list[Account], transfers: int, joined: bool) -> None:
        """Write bank.json, atomically; the shards that count are listed for audits."""
        counted = self.urls() if joined else self.shards
        urls = [plain_url(url) for url in counted.values()]
        book: dict[str, Any] = {
            "shards": urls,
            "accounts": len(accounts),
            "transfers": transfers,
            "total": sum(account.balance for account in accounts),
            "transfers_file": TRANSFERS_FILE,
            "plan": asdict(self),
        }
        path = Path(self.directory, PLAN_FILE)
        draft = path.with_suffix(".tmp")
        # Only for its owner's eyes: a shard's URL may hold a password.
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(book, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    @classmethod
    def load(cls, directory: str) -> BankPlan | None:
        """Return the plan that lies in a directory, or None if no bank was opened there."""
        try:
            book = json.loads(Path(directory, PLAN_FILE).read_text("utf-8"))
            return replace(cls(**book["plan"]), directory=directory)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{directory}/{PLAN_FILE} is not a bank's ({error}); choose another directory"
            ) from None

    def inputs(self) -> tuple[list[Account], list[Transfer]]:
        """Return the input that was kept with the plan."""
        accounts = read_accounts(Path(self.directory, ACCOUNTS_FILE))
        return accounts, read_transfers(Path(self.directory, TRANSFERS_FILE), accounts)
