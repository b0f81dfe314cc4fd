"""What the bank is asked to do: accounts and transfers, read from CSV, written or made up.

Two files, UTF-8 (a byte order mark is dropped), line 1 the header: ``id,balance`` and
``id,from,to,amount``. Reading is all or nothing: the first line that is not exactly right
stops it, before anything can have been applied.
"""

from __future__ import annotations

import csv
import os
import random
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from concordant.errors import UsageError

MONEY_MAX = 2**63 - 1
ID_BYTES_MAX = 255
ACCOUNT_COLUMNS = ("id", "balance")
TRANSFER_COLUMNS = ("id", "from", "to", "amount")

DEFAULT_ACCOUNTS = 200
DEFAULT_TRANSFERS = 3000

_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_Parsed = TypeVar("_Parsed")


class BadInput(UsageError):
    """A line of an input file is wrong; mend the file, nothing was applied.

    ``line`` counts from 1 and is None where the file as a whole could not be read.
    """

    def __init__(self, path: str | Path, line: int | None, reason: str) -> None:
        where = str(path) if line is None else f"{path}, line {line}"
        super().__init__(f"{where}: {reason}; nothing was applied")
        self.path = Path(path)
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Account:
    """One account as the bank opens it."""

    id: str
    balance: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """A request to move ``amount`` from ``source`` to ``target``, once."""

    id: str
    source: str
    target: str
    amount: int


class _Wrong(Exception):
    """Why a line is refused; the reader adds the file and the line."""


def read_accounts(path: str | Path) -> list[Account]:
    """Read ``id,balance`` in the file's order.

    Raises BadInput for a file that cannot be read and for the first line that is not
    exactly right, the one at which all balances together pass 64 bits included.
    """
    total = 0

    def parse(fields: Sequence[str]) -> Account:
        nonlocal total
        account = Account(_identifier(fields[0]), _money("balance", fields[1], least=0))
        total += account.balance
        if total > MONEY_MAX:
            raise _Wrong(f"all balances up to here are {total}, more than {MONEY_MAX}")
        return account

    return _read(Path(path), ACCOUNT_COLUMNS, parse)


def read_transfers(path: str | Path, accounts: Iterable[Account]) -> list[Transfer]:
    """Read ``id,from,to,amount`` in the file's order, between the given accounts only.

    Raises BadInput for a file that cannot be read and for the first line that is not
    exactly right. Whether there are funds is no matter of the input.
    """
    known = frozenset(account.id for account in accounts)

    def parse(fields: Sequence[str]) -> Transfer:
        identity, source, target, amount = fields
        transfer = Transfer(
            _identifier(identity),
            _known("from", source, known),
            _known("to", target, known),
            _money("amount", amount, least=1),
        )
        if source == target:
            raise _Wrong(f"from and to are the same account {_shown(source)}")
        return transfer

    return _read(Path(path), TRANSFER_COLUMNS, parse)


def write_accounts(path: str | Path, accounts: Iterable[Account]) -> None:
    """Write what read_accounts reads; the file appears whole or not at all."""
    _write(Path(path), ACCOUNT_COLUMNS, ((a.id, str(a.balance)) for a in accounts))


def write_transfers(path: str | Path, transfers: Iterable[Transfer]) -> None:
    """Write what read_transfers reads; the file appears whole or not at all."""
    rows = ((t.id, t.source, t.target, str(t.amount)) for t in transfers)
    _write(Path(path), TRANSFER_COLUMNS, rows)


def generate(
    seed: int, accounts: int = DEFAULT_ACCOUNTS, transfers: int = DEFAULT_TRANSFERS
) -> tuple[list[Account], list[Transfer]]:
    """Make up a bank and its work; the same seed gives the same input on every Python.

    One transfer in 50 (at least one) asks for more than the whole bank holds, so it is
    refused in whatever order they run. A few hot accounts are an end of every third
    transfer. Raises UsageError for a negative count or transfers without two accounts.
    """
    if accounts < 0 or transfers < 0 or (transfers > 0 and accounts < 2):
        raise UsageError(
            f"cannot make up {transfers} transfers between {accounts} accounts; "
            "ask for counts from 0, and for two accounts or more where there are transfers"
        )
    rng = random.Random(seed)
    opened = [Account(f"a{n:05d}", 100 + _below(rng, 901)) for n in range(1, accounts + 1)]
    total = sum(account.balance for account in opened)
    return opened, [_made_up(rng, n, opened, total) for n in range(transfers)]


def _made_up(rng: random.Random, number: int, accounts: list[Account], total: int) -> Transfer:
    """Draw one transfer; every draw is made each time, so the sequence is easy to reason on."""
    hot = max(1, len(accounts) // 50)
    drawn = _below(rng, hot if number % 3 == 0 else len(accounts))
    other = (drawn + 1 + _below(rng, len(accounts) - 1)) % len(accounts)
    source, target = (drawn, other) if rng.random() < 0.5 else (other, drawn)
    amount = 1 + _below(rng, 100)
    if number % 50 == 0:
        amount += total
    return Transfer(f"t{number + 1:07d}", accounts[source].id, accounts[target].id, amount)


def _below(rng: random.Random, bound: int) -> int:
    # Only random() is promised to give the same sequence in later versions of Python;
    # randrange, choice and shuffle have changed before.
    return int(rng.random() * bound)


def _read(
    path: Path, columns: Sequence[str], parse: Callable[[Sequence[str]], _Parsed]
) -> list[_Parsed]:
    """Parse every record after the header, the first column unique, or raise BadInput."""
    parsed: list[_Parsed] = []
    seen: dict[str, int] = {}
    for line, fields in _records(path, columns):
        try:
            parsed.append(parse(fields))
            if fields[0] in seen:
                raise _Wrong(f"id {_shown(fields[0])} stands in line {seen[fields[0]]} already")
        except _Wrong as wrong:
            raise BadInput(path, line, str(wrong)) from None
        seen[fields[0]] = line
    return parsed


def _records(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of its first line, fields) of each record after a right header."""
    header = ",".join(columns)
    reader = csv.reader(_lines(path), strict=True)
    line = 1
    try:
        first = next(reader, None)
        if first != list(columns):
            what = "the file is empty, without" if first is None else "this is not"
            raise BadInput(path, 1, f"{what} the header {header}")
        line = reader.line_num + 1
        for fields in reader:
            if len(fields) != len(columns):
                count = f"{len(fields)} columns instead of {len(columns)} ({header})"
                raise BadInput(path, line, count if fields else "an empty line")
            yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadInput(path, line, f"not CSV ({error})") from None


def _lines(path: Path) -> Iterator[str]:
    """Decode line by line, so that bad bytes are named with their line."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if number == 1:
                    raw = raw.removeprefix(_BYTE_ORDER_MARK)
                try:
                    yield raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    what = f"byte {error.start + 1} of the line is not UTF-8"
                    raise BadInput(path, number, what) from None
    except OSError as error:
        raise BadInput(path, None, f"cannot be read ({error.strerror})") from error


def _identifier(text: str) -> str:
    """Return the id, or raise what is wrong with it."""
    if not text:
        raise _Wrong("the id is empty")
    if "\0" in text:
        raise _Wrong("the id contains a NUL")
    size = len(text.encode())
    if size > ID_BYTES_MAX:
        raise _Wrong(f"the id has {size} bytes of UTF-8, more than {ID_BYTES_MAX}")
    return text


def _known(column: str, text: str, known: Collection[str]) -> str:
    """Return the account's id, or raise that no account has it."""
    if text not in known:
        raise _Wrong(f"{column} names {_shown(text)}, which is no account")
    return text


def _money(column: str, text: str, least: int) -> int:
    """Return the amount, written in plain ASCII digits, or raise what is wrong with it."""
    # The pattern also bounds the digits before int() sees them.
    if _WHOLE_NUMBER.fullmatch(text) is None or not least <= int(text) <= MONEY_MAX:
        raise _Wrong(
            f"{column} {_shown(text)} is not a whole number from {least} to {MONEY_MAX} "
            "in plain digits"
        )
    return int(text)


def _shown(text: str) -> str:
    """Return a short printable form of what stood in the file."""
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}..."


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write beside the file, then rename: a killed writer leaves no half input behind."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        for row in (columns, *rows):
            file.write(",".join(map(_quoted, row)) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _quoted(text: str) -> str:
    # By hand: csv.writer with "\n" line ends leaves a bare carriage return unquoted in
    # Python 3.11, which no reader takes back.
    if any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
