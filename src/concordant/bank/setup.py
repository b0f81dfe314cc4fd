"""Find or found the bank of a directory, from what a user asked for."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from concordant.bank.inputs import (
    DEFAULT_ACCOUNTS,
    Account,
    BadInput,
    Transfer,
    generate,
    read_accounts,
    read_transfers,
    write_accounts,
    write_transfers,
)
from concordant.bank.plain import file_url, lasting_url
from concordant.bank.plan import ACCOUNTS_FILE, TRANSFERS_FILE, BankPlan, Pattern, Without
from concordant.drivers.urls import scheme_of
from concordant.errors import UsageError


@dataclass(frozen=True, slots=True)
class Asked:
    """What a user asked for; empty or None means the default, or what the directory says."""

    directory: Path
    shards: Sequence[str] = ()
    add_shard: str = ""
    coordination: str = ""
    log: str = ""
    workers: int = 4
    kills: int = 3
    transfers: int | None = None
    seed: int | None = None
    accounts_file: Path | None = None
    transfers_file: Path | None = None
    without: Without | None = None
    pattern: Pattern | None = None


def establish(asked: Asked, check: Callable[[BankPlan], None]) -> BankPlan:
    """Return the plan of the directory's bank, founding it if there is none.

    `check` is asked whether the plan's stores will do; what it raises comes before anything
    was founded. Raises BadInput (nothing is applied) if the input is wrong or differs from the
    one that the directory's bank was founded with, UsageError if other options differ.
    """
    directory = asked.directory.absolute()
    _make(directory)
    known = BankPlan.load(str(directory))
    accounts, transfers, seed = _inputs(asked, known)
    plan = _plan(asked, directory, seed)
    if known is not None:
        _check_same(asked, known, plan)
        if (accounts, transfers) != known.inputs():
            raise BadInput(directory, None, "its bank was founded with another input")
        plan = replace(known, workers=asked.workers, kills=asked.kills)
    check(plan)
    if known is None:
        write_accounts(directory / ACCOUNTS_FILE, accounts)
        write_transfers(directory / TRANSFERS_FILE, transfers)
        plan.save(accounts, len(transfers), joined=False)
    return plan


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the directory {directory} cannot be made ({error.strerror}); choose another --dir"
        ) from error


def _inputs(asked: Asked, known: BankPlan | None) -> tuple[list[Account], list[Transfer], int]:
    if (asked.accounts_file is None) != (asked.transfers_file is None):
        raise UsageError("give --accounts and --transfers-file together, or neither")
    if asked.transfers_file is not None and asked.transfers is not None:
        raise UsageError("--transfers makes transfers up: leave it out with --transfers-file")
    seed = asked.seed
    if seed is None:
        seed = known.seed if known is not None else secrets.randbelow(1_000_000)
    if asked.accounts_file is not None and asked.transfers_file is not None:
        accounts = read_accounts(asked.accounts_file)
        return accounts, read_transfers(asked.transfers_file, accounts), seed
    if known is not None and asked.transfers is None and asked.seed in (None, known.seed):
        return (*known.inputs(), seed)
    count = 3000 if asked.transfers is None else asked.transfers
    return (*generate(seed, DEFAULT_ACCOUNTS, count), seed)


def _plan(asked: Asked, directory: Path, seed: int) -> BankPlan:
    def file(name: str) -> str:
        return file_url(directory / name)

    urls = [lasting_url(url) for url in asked.shards]
    urls = urls or [file(f"shard-{number}.db") for number in range(3)]
    joining = f"shard-{len(urls)}"
    joining_url = lasting_url(asked.add_shard or file(f"{joining}.db"))
    coordination = lasting_url(asked.coordination or file("coordination.db"))
    by_log = scheme_of(coordination).startswith("postgres")
    log = lasting_url(asked.log or (coordination if by_log else file("log.db")))
    if len({*urls, joining_url}) <= len(urls):
        raise UsageError("every shard, the one that joins too, has a URL of its own")
    plan = BankPlan(
        secrets.token_hex(4),
        str(directory),
        {f"shard-{number}": url for number, url in enumerate(urls)},
        joining,
        joining_url,
        coordination,
        log,
        workers=asked.workers,
        kills=asked.kills,
        seed=seed,
        without=asked.without or "",
        pattern=asked.pattern or "2pc",
    )
    if plan.pattern == "saga" and plan.without in ("locks", "transactions"):
        raise UsageError(
            f"a saga cannot do without {plan.without}; leave --pattern out, or --without"
        )
    return plan


def _check_same(asked: Asked, known: BankPlan, plan: BankPlan) -> None:
    given = {
        "--shard": (asked.shards, known.shards, plan.shards),
        "--add-shard": (asked.add_shard, known.joining_url, plan.joining_url),
        "--coordination": (asked.coordination, known.coordination, plan.coordination),
        "--log": (asked.log, known.log, plan.log),
        "--pattern": (asked.pattern, known.pattern, plan.pattern),
        "--without": (asked.without, known.without, plan.without),
        "--seed": (asked.seed is not None, known.seed, plan.seed),
    }
    for option, (was_given, before, now) in given.items():
        if was_given and before != now:
            raise UsageError(
                f"the bank in {known.directory} was founded with another {option}; "
                "leave it out, or choose another --dir"
            )
