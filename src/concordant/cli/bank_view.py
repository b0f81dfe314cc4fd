"""What a person sees of a bank at work: a bar, the events, and the numbers at the end."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from concordant.bank.plan import BankPlan
from concordant.bank.run import Moment, Outcome, Run

_MARKS: Final = {
    "kill": "✗ kill",
    "recovered": "✓ recovered",
    "join": "+ join",
    "joined": "+ joined",
}


class View:
    """Shows a run on stderr while it goes on, and its result on stdout."""

    def __init__(self, plan: BankPlan, quiet: bool, title: str = "") -> None:
        self._plan = plan
        self._quiet = quiet
        self._title = title
        self._errors = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:>6.0f}/s  kills {task.fields[kills]}"),
            console=self._errors,
            disable=quiet or not self._errors.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("transfers", rate=0.0, kills=0)

    def __enter__(self) -> View:
        if not self._quiet:
            self._errors.print(
                self._title or f"The bank lies in {self._plan.directory} (seed {self._plan.seed})"
            )
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def see(self, moment: Moment, run: Run) -> None:
        """Show one event."""
        self._progress.update(
            self._task,
            total=len(run.transfers),
            completed=run.settled_before + run.settled,
            rate=run.settled / max(moment.at_s, 0.001),
            kills=len(run.outcome.kill_details),
        )
        if moment.kind in _MARKS and not self._quiet:
            self._errors.print(f"{moment.at_s:6.2f} s  {_MARKS[moment.kind]:12} {moment.text}")

    def conclude(self, outcome: Outcome) -> None:
        """Print the numbers, and what the audit found."""
        if self._quiet:
            for finding in outcome.findings:
                self._errors.print(f"audit: {finding}", markup=False)
            return
        table = Table(show_header=False, box=None)
        for name, value in outcome.as_json().items():
            if name != "kill_details":
                table.add_row(name.replace("_", " "), f"{value:,}")
        console = Console(highlight=False)
        console.print(table)
        for finding in outcome.findings:
            console.print(f"audit: {finding}", markup=False)
        verdict = "found nothing wrong" if not outcome.violations else "FOUND VIOLATIONS"
        console.print(f"The independent audit {verdict}. Run it yourself:")
        console.print(f"  python audit_bank.py {self._plan.directory}", markup=False)


def show_contrast(columns: dict[str, Outcome]) -> None:
    """Print side by side what the bank keeps and what is lost without each of the three."""
    table = Table(title="The same input, the same faults")
    table.add_column("")
    for name in columns:
        title = name if name == "concordant" else f"without\n{name}"
        table.add_column(title, justify="right", no_wrap=True)
    rows: dict[str, Callable[[Outcome], str]] = {
        "workers killed": lambda each: f"{each.kills}",
        "money before": lambda each: f"{each.total_before:,}",
        "money after": lambda each: f"{each.total_after:,}",
        "created or destroyed": lambda each: f"{each.total_after - each.total_before:+,}",
        "rules broken": lambda each: f"{each.violations:,}",
        "accounts moved": lambda each: f"{each.moved:,}",
        "accounts that had to": lambda each: f"{each.moved_minimum:,}",
    }
    for title, show in rows.items():
        table.add_row(title, *(show(outcome) for outcome in columns.values()))
    Console(highlight=False).print(table)
