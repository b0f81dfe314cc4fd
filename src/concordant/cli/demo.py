"""`concordant demo bank`: the whole package at work, with real kills."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from concordant.bank.contrast import VARIANTS, run_without
from concordant.bank.outcome import Outcome
from concordant.bank.plan import BankPlan, Pattern, Without
from concordant.bank.report import check_writable, write_report
from concordant.bank.run import Run
from concordant.bank.setup import Asked, establish
from concordant.bank.stores import check_promises, questions
from concordant.cli.bank_view import View, show_contrast
from concordant.cli.options import Settings, output_options, pass_settings
from concordant.cli.output import print_json
from concordant.cli.reach import check_all


@click.group()
@output_options
def demo() -> None:
    """Run a worked example."""


@demo.command()
@click.option("--shard", "shards", multiple=True, metavar="URL", help="A shard; repeatable.")
@click.option("--add-shard", default="", metavar="URL", help="The shard that joins half way.")
@click.option("--coordination", default="", metavar="URL", help="Where locks and ring live.")
@click.option("--log", default="", metavar="URL", help="The transaction log.")
@click.option(
    "--pattern",
    type=click.Choice(["2pc", "saga"]),
    help="How transfers are made: two-phase commit or sagas  [default: 2pc]",
)
@click.option("--workers", type=click.IntRange(1, 64), default=4, show_default=True)
@click.option("--transfers", type=click.IntRange(0), help="How many are made up [default: 3000]")
@click.option("--kills", type=click.IntRange(0, 1000), default=3, show_default=True)
@click.option("--seed", type=int, help="Fixes made-up input and kill points [default: random]")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Kept; run again.")
@click.option("--accounts", type=click.Path(path_type=Path), help="CSV: id,balance")
@click.option("--transfers-file", type=click.Path(path_type=Path), help="CSV: id,from,to,amount")
@click.option(
    "--without",
    type=click.Choice(["locks", "transactions", "ring"]),
    help="Do without one of the three, to see what it loses; the audit then fails.",
)
@click.option("--contrast", is_flag=True, help="Afterwards, run without each of the three.")
@click.option(
    "--contrast-transfers",
    type=click.IntRange(100),
    help="Transfers of each contrast run [default: as many as the bank's]",
)
@click.option("--report", type=click.Path(path_type=Path), help="Write an HTML report here.")
@output_options
@pass_settings
def bank(
    settings: Settings,
    shards: tuple[str, ...],
    add_shard: str,
    coordination: str,
    log: str,
    pattern: Pattern | None,
    workers: int,
    transfers: int | None,
    kills: int,
    seed: int | None,
    directory: Path | None,
    accounts: Path | None,
    transfers_file: Path | None,
    without: Without | None,
    contrast: bool,
    contrast_transfers: int | None,
    report: Path | None,
) -> None:
    """Move money between shards while workers are killed and a shard joins.

    Exits 0 only if an independent audit finds nothing wrong. Running again with the same
    --dir finishes what is unfinished and applies nothing twice.
    """
    with _place(directory) as place:
        asked = Asked(
            place,
            shards,
            add_shard,
            coordination,
            log,
            workers,
            kills,
            transfers,
            seed,
            accounts,
            transfers_file,
            without,
            pattern,
        )
        plan = establish(asked, lambda plan: _check(plan, report))
    quiet = settings.as_json
    outcome = _run(plan, quiet)
    columns: dict[str, Outcome] = {}
    if contrast:
        columns = _contrast(plan, contrast_transfers or outcome.requested, quiet)
    if quiet:
        numbers = outcome.as_json()
        if columns:
            numbers["contrast"] = {name: each.as_json() for name, each in columns.items()}
        print_json(numbers)
    if report is not None:
        write_report(report, plan, outcome, columns)
    if outcome.violations:
        raise SystemExit(1)


@contextmanager
def _place(directory: Path | None) -> Iterator[Path]:
    """Give the bank's directory; a temporary one is kept only if a bank was founded in it."""
    if directory is not None:
        yield directory
        return
    made = Path(tempfile.mkdtemp(prefix="concordant-bank-"))
    try:
        yield made
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _check(plan: BankPlan, report: Path | None) -> None:
    """Find out before anything is founded what would fail later."""
    if report is not None:
        check_writable(report)
    check_promises(plan)
    check_all(questions(plan))


def _contrast(plan: BankPlan, transfers: int, quiet: bool) -> dict[str, Outcome]:
    """Run the bank with everything on the same small input, then without each of the three."""
    columns: dict[str, Outcome] = {}
    for without in ("", *VARIANTS):
        with View(plan, quiet, f"without {without}" if without else "concordant") as view:
            columns[without or "concordant"] = run_without(plan, without, transfers, view.see)
    if not quiet:
        show_contrast(columns)
    return columns


def _run(plan: BankPlan, quiet: bool) -> Outcome:
    with View(plan, quiet) as view:
        outcome = Run(plan, view.see).execute()
    view.conclude(outcome)
    return outcome
