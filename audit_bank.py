#!/usr/bin/env python3
"""Audit a sharded bank from the outside: is all the money there, and each transfer once?

    python audit_bank.py DIR                 a bank's directory, with bank.json and its input
    python audit_bank.py URL [URL...]        its shards alone: sqlite:///path, postgresql://...

It trusts nothing of the program that wrote the bank: it needs Python's standard library,
and psql for shards on PostgreSQL. It only reads. Exit 0: clean; 1: violations; 2: it could
not audit. Each shard is read in one snapshot, so the bank should be at rest.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

SHOWN_PER_CHECK_MAX = 20
PSQL_TIMEOUT_S = 300

# One statement is one snapshot; the casts make both engines answer in the same text.
TABLES_SQL = """
SELECT 'accounts', CAST(id AS TEXT), '', CAST(balance AS TEXT) FROM accounts
UNION ALL SELECT 'opening', CAST(account_id AS TEXT), '', CAST(amount AS TEXT) FROM opening
UNION ALL SELECT 'ledger', CAST(transfer_id AS TEXT), CAST(account_id AS TEXT),
                 CAST(amount AS TEXT) FROM ledger
UNION ALL SELECT 'refused', CAST(transfer_id AS TEXT), '', '' FROM refused
"""
PREPARED_SQLITE_SQL = """
UNION ALL SELECT 'prepared', 'a row of concordant_branch', '', ''
FROM concordant_branch WHERE state = 'prepared'
"""
PREPARED_POSTGRES_SQL = """
UNION ALL SELECT 'prepared', gid, '', ''
FROM pg_prepared_xacts WHERE database = current_database()
"""

HOST = r"(?:\[[^]@/?#]*\]|[^]\[:,@/?#]*)(?::[0-9]*)?"
POSTGRES_URL = re.compile(
    r"(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^@/?#]*))?@)?"
    rf"(?P<hosts>{HOST}(?:,{HOST})*)(?P<path>/[^@?#]*)?(?:\?(?P<options>[^=&#]+=[^#]*))?"
)

Row = Sequence[str | None]  # table, id, account of a ledger row, amount


class CannotAudit(Exception):
    """Nothing can be said about the bank; the message names the reason, never a password."""


class Violation(NamedTuple):
    """One broken rule and where."""

    check: str
    detail: str


@dataclass(slots=True)
class Book:
    """What the bank was asked to do, as far as it is known."""

    accounts: dict[str, int] | None = None
    transfers: dict[str, tuple[str, str, int]] | None = None
    total: int | None = None
    requested: int | None = None


@dataclass(slots=True)
class Found:
    """What stands on all shards; places are shard names."""

    shards: int = 0
    balances: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    openings: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    places: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    ledger: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    refused: Counter[str] = field(default_factory=Counter)
    rests: list[tuple[str, str, str]] = field(default_factory=list)  # table, account, place
    wrong: list[Violation] = field(default_factory=list)  # seen while reading

    @property
    def total(self) -> int:
        """Return all money on all shards."""
        return sum(self.balances.values())


def audit(
    shards: list[str], book: Book | None = None, *, unfinished_ok: bool = False
) -> list[Violation]:
    """Read the shards and return every rule that is broken, none if the bank is sound.

    Without a book only what the tables _show by themselves is checked. Raises CannotAudit.
    """
    return _examine(read_shards(shards), book or Book(), unfinished_ok)


def _examine(found: Found, book: Book, unfinished_ok: bool) -> list[Violation]:
    """Return every broken rule."""
    return [
        *found.wrong,
        *_check_total(found, book),
        *_check_accounts(found, book),
        *_check_balances(found),
        *_check_places(found),
        *_check_transfers(found, book, unfinished_ok),
        *_check_requested(found, book, unfinished_ok),
    ]


def _check_total(found: Found, book: Book) -> Iterator[Violation]:
    opened = sum(sum(amounts) for amounts in found.openings.values())
    asked = None if book.accounts is None else sum(book.accounts.values())
    for name, total in (("openings", opened), ("input", asked), ("bank.json", book.total)):
        if total is not None and total != found.total:
            yield Violation("total", f"balances are {found.total} in all, {name} {total}")


def _check_accounts(found: Found, book: Book) -> Iterator[Violation]:
    for account, places in found.places.items():
        if len(places) > 1:
            yield Violation("account-twice", f"account {account!r} on {', '.join(places)}")
        if book.accounts is not None and account not in book.accounts:
            yield Violation("account-unknown", f"account {account!r} is not in the input")
    for account, balance in (book.accounts or {}).items():
        if account not in found.places:
            yield Violation("account-missing", f"account {account!r} is on no shard")
        if sum(found.openings.get(account, [])) != balance:
            what = f"account {account!r} opened with {found.openings.get(account, [])}"
            yield Violation("opening", f"{what}, the input says {balance}")


def _check_balances(found: Found) -> Iterator[Violation]:
    moved: Counter[str] = Counter()
    for rows in found.ledger.values():
        for account, amount in rows:
            moved[account] += amount
    for account in sorted({*found.balances, *found.openings, *moved}):
        balance, opened = found.balances.get(account, 0), found.openings.get(account, [])
        if len(opened) != 1:
            yield Violation("opening", f"account {account!r} has {len(opened)} opening rows")
        if sum(opened) + moved[account] != balance:
            what = f"account {account!r}: opening {sum(opened)} plus ledger {moved[account]}"
            yield Violation("balance", f"{what} is not its balance {balance}")


def _check_places(found: Found) -> Iterator[Violation]:
    """Hold each row to the shard of its account; else a move was torn."""
    for table, account, place in found.rests:
        if place not in found.places.get(account, ()):
            what = f"{table} row of account {account!r} on {place}"
            yield Violation("stray-row", f"{what}, where that account is not")


def _check_transfers(found: Found, book: Book, unfinished_ok: bool) -> Iterator[Violation]:
    asked = book.transfers
    for transfer in sorted({*found.ledger, *found.refused, *(asked or ())}):
        name, rows = f"transfer {transfer!r}", found.ledger.get(transfer, [])
        refusals = found.refused[transfer]
        if asked is not None and transfer not in asked:
            yield Violation("transfer-unknown", f"{name} was never requested")
        if rows and refusals:
            yield Violation("refused-and-applied", f"{name} is refused and has {rows}")
        if refusals > 1:
            yield Violation("refused-twice", f"{name} is refused {refusals} times")
        if not rows and not refusals and not unfinished_ok:
            yield Violation("transfer-missing", f"{name} is neither applied nor refused")
        if rows:
            yield from _check_rows(name, rows, asked.get(transfer) if asked else None)


def _check_rows(
    name: str, rows: list[tuple[str, int]], asked: tuple[str, str, int] | None
) -> Iterator[Violation]:
    if sum(amount for _, amount in rows) != 0:
        yield Violation("ledger-sum", f"{name}: its amounts do not cancel: {rows}")
    if len(rows) != 2 or len({account for account, _ in rows}) != 2:
        yield Violation("ledger-rows", f"{name} is not two accounts' rows: {rows}")
    elif asked is not None:
        source, target, amount = asked
        if sorted(rows) != sorted([(source, -amount), (target, amount)]):
            what = f"{amount} from {source!r} to {target!r}"
            yield Violation("ledger-rows", f"{name} asked for {what}, got {rows}")


def _check_requested(found: Found, book: Book, unfinished_ok: bool) -> Iterator[Violation]:
    asked, done = book.requested, len({*found.ledger, *found.refused})
    if asked is not None and (done > asked or (done < asked and not unfinished_ok)):
        yield Violation("requested", f"{done} transfers are done, {asked} requested")


def read_shards(shards: list[str]) -> Found:
    """Read every shard, each in one snapshot. Raises CannotAudit."""
    if not shards or len(set(shards)) != len(shards):
        raise CannotAudit("name at least one shard, and each once")
    found = Found(shards=len(shards))
    known: set[str] = set()
    for number, url in enumerate(shards):
        if url.startswith("sqlite://"):
            place, rows = url, sqlite_rows(sqlite_path(url, Path()))
        elif url.startswith(("postgresql://", "postgres://")):
            place, rows = postgres_rows(url)
        else:
            scheme = url.partition(":")[0]
            raise CannotAudit(f"{scheme!r}: a shard is sqlite:///path or postgresql://...")
        # Schemas of one database differ only in their options, which are not shown.
        place += f" (shard {number})" if place in known else ""
        known.add(place)
        for row in rows:
            _add_row(found, place, row)
    return found


def _add_row(found: Found, place: str, row: Row) -> None:
    table, key, account, digits = (text or "" for text in row)
    amount = 0
    if table in ("accounts", "opening", "ledger"):
        if re.fullmatch(r"-?[0-9]{1,19}", digits, re.ASCII):
            amount = int(digits)
        else:
            what = f"{table} row {key!r} on {place} holds {digits!r}"
            found.wrong.append(Violation("not-whole", what))
    if table == "accounts":
        found.balances[key] += amount
        found.places[key].append(place)
        if amount < 0:
            found.wrong.append(Violation("overdraft", f"account {key!r} on {place}: {amount}"))
    elif table == "opening":
        found.openings[key].append(amount)
        found.rests.append((table, key, place))
    elif table == "ledger":
        found.ledger[key].append((account, amount))
        found.rests.append((table, account, place))
    elif table == "refused":
        found.refused[key] += 1
    else:
        found.wrong.append(Violation("prepared", f"{key} on {place} is left prepared"))


def sqlite_rows(path: Path) -> list[Row]:
    """Return all rows of one SQLite file, opened read-only, its WAL included."""
    try:
        uri = f"file://{quote(str(path.absolute()))}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=10)
        try:
            connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
            connection.execute("BEGIN")
            named = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
            branches = connection.execute(named, ("concordant_branch",)).fetchone()
            query = TABLES_SQL + (PREPARED_SQLITE_SQL if branches else "")
            return connection.execute(query).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise CannotAudit(f"{path}: SQLite says: {error}") from None


def postgres_rows(url: str) -> tuple[str, list[Row]]:
    """Return the place's name and all rows of one database, asked through psql."""
    place, bare, password = take_apart(url)
    environment = {"PGCONNECT_TIMEOUT": "10", **os.environ, "PGCLIENTENCODING": "UTF8"}
    if password:
        environment["PGPASSWORD"] = password
    copy = f"COPY ({TABLES_SQL}{PREPARED_POSTGRES_SQL}) TO STDOUT WITH (FORMAT csv)"
    # -w: a missing password is an error, never a question.
    command = ["psql", "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-d", bare, "-c", copy]
    quiet = subprocess.DEVNULL
    try:
        done = subprocess.run(
            command, env=environment, stdin=quiet, capture_output=True, timeout=PSQL_TIMEOUT_S
        )
    except OSError:
        raise CannotAudit(f"{place}: no psql here (package postgresql-client)") from None
    except subprocess.TimeoutExpired:
        raise CannotAudit(f"{place}: no answer within {PSQL_TIMEOUT_S} s") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.decode("utf-8", "backslashreplace").split())
        raise CannotAudit(f"{place}: psql says: {said}")
    text = done.stdout.decode("utf-8", "backslashreplace")
    return place, list(csv.reader(io.StringIO(text, newline="")))


def take_apart(url: str) -> tuple[str, str, str]:
    """Return the URL to be shown, the one for psql's arguments, and the password."""
    scheme, _, rest = url.partition("://")
    match = POSTGRES_URL.fullmatch(rest)
    if match is None:
        raise CannotAudit("a PostgreSQL URL is malformed (not shown: it may hold a password)")
    user, password, hosts, path, query = match.groups(default="")
    place = f"{scheme}://{user}{'@' if user else ''}{hosts}{path}"
    kept = []
    for option in query.split("&"):
        if option.startswith("password="):
            password = option.removeprefix("password=")
        else:
            kept.append(option)
    return place, f"{place}?{'&'.join(kept)}".rstrip("?"), unquote(password)


def sqlite_path(url: str, directory: Path) -> Path:
    """Return the file of sqlite:///abs/path, or of sqlite:///./path below the directory."""
    text = url.removeprefix("sqlite://").partition("?")[0]
    return directory / unquote(text[3:] if text.startswith("/./") else text)


def read_directory(directory: Path) -> tuple[list[str], Book]:
    """Return the shard URLs and the input of a bank's directory. Raises CannotAudit."""
    try:
        bank = json.loads((directory / "bank.json").read_text("utf-8"))
        shards = [_resolved(url, directory) for url in bank["shards"]]
        book = Book(
            accounts={row[0]: int(row[1]) for row in _csv_rows(directory / "accounts.csv")},
            total=int(bank["total"]),
            requested=int(bank["transfers"]),
        )
        if bank["transfers_file"] is not None:
            rows = _csv_rows(directory / bank["transfers_file"])
            book.transfers = {row[0]: (row[1], row[2], int(row[3])) for row in rows}
    except OSError as error:
        raise CannotAudit(f"{error.filename}: {error.strerror}") from None
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, csv.Error) as error:
        raise CannotAudit(f"{directory} is no bank's directory: {error!r}") from None
    return shards, book


def _resolved(url: str, directory: Path) -> str:
    if url.startswith("sqlite://"):
        return "sqlite://" + quote(str(sqlite_path(url, directory.resolve())))
    return url


def _csv_rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file, strict=True)
    if any(len(row) != len(header) for row in rows) or len({row[0] for row in rows}) != len(rows):
        raise ValueError(f"{path.name} needs its header, even lines and unique ids")
    return rows


def _show(found: Found, violations: Iterable[Violation]) -> None:
    """Print the result for people, of each kind only the first few."""
    kinds: Counter[str] = Counter()
    for check, detail in violations:
        kinds[check] += 1
        if kinds[check] <= SHOWN_PER_CHECK_MAX:
            print(f"VIOLATION {check}: {detail}")
    print(f"{len(found.places)} accounts hold {found.total} on {found.shards} shards")
    print(f"{len(found.ledger)} transfers applied, {len(found.refused)} refused")
    print(", ".join(f"{count} {check}" for check, count in kinds.items()) or "clean")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description="Audit a sharded bank from the outside.")
    parser.add_argument("what", nargs="+", metavar="DIR | URL", help="a directory, or shards")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    parser.add_argument("--unfinished-ok", action="store_true", help="transfers may be missing")
    options = parser.parse_intermixed_args(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    as_json = options.output == "json"
    try:
        shards, book = options.what, Book()
        if len(shards) == 1 and not re.match(r"[a-z]+:", shards[0]):
            shards, book = read_directory(Path(shards[0]))
        found = read_shards(shards)
    # Anything else that breaks must not look like exit 1, which means violations.
    except (CannotAudit, csv.Error, ValueError) as error:
        print(f"audit_bank: cannot audit: {error}", file=sys.stderr)
        if as_json:
            print(json.dumps({"ok": False, "total": None, "violations": [], "error": str(error)}))
        return 2
    violations = _examine(found, book, options.unfinished_ok)
    if as_json:
        listed = [violation._asdict() for violation in violations]
        print(json.dumps({"ok": not violations, "total": found.total, "violations": listed}))
    else:
        _show(found, violations)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
