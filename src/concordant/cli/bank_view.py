"""What a person sees of a bank at work: a bar, the events, and the numbers at the end."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from concordant.bank.outcome import Outcome
from concordant.bank.plan import BankPlan
from concordant.bank.progress import Moment, Progress

_MARKS: Final = {
    "kill": "✗ kill",
    "recovered": "✓ recovered",
    "join": "+ join",
    "joined": "+ joined",
}

# Nothing of a path or a finding is markup, and a line that is copied has no breaks in it.
_PLAIN: Final[dict[str, Any]] = {
    "highlight": False,
    "markup": False,
    "emoji": False,
    "soft_wrap": True,
}


class View:
    """Shows a run on stderr while it goes on, and its result on stdout.

    Where the bank lies is told even if nothing else is: a second run needs it.
    """

    def __init__(self, plan: BankPlan, quiet: bool, title: str = "") -> None:
        self._plan = plan
        self._quiet = quiet
        self._title = title
        self._errors = Console(stderr=True, **_PLAIN)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn(
                "{task.fields[rate]:>5.0f}/s  kills {task.fields[kills]}"
                "  recovered {task.fields[recovered]}"
            ),
            console=self._errors,
            disable=quiet or not self._errors.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("transfers", total=None, rate=0.0, kills=0, recovered=0)

    def __enter__(self) -> View:
        if not self._title:
            lies = f"The bank lies in {self._plan.directory} (seed {self._plan.seed})"
            self._errors.print(lies)
        elif not self._quiet:
            self._errors.print(self._title)
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def see(self, moment: Moment, progress: Progress) -> None:
        """Show one event."""
        self._bar.update(
            self._task,
            total=progress.requested,
            completed=progress.settled_before + progress.settled,
            rate=progress.rate,
            kills=progress.kills,
            recovered=progress.recovered,
            refresh=moment.kind in _MARKS,
        )
        if moment.kind in _MARKS and not self._quiet:
            self._errors.print(f"{moment.at_s:6.2f} s  {_MARKS[moment.kind]:12} {moment.text}")

    def conclude(self, outcome: Outcome) -> None:
        """Print the numbers, and what the audit found."""
        if self._quiet:
            for finding in outcome.findings:
                self._errors.print(f"audit: {finding}")
            return
        table = Table(show_header=False, box=None)
        for name, value in outcome.as_json().items():
            if name != "kill_details":
                table.add_row(name.replace("_", " "), f"{value:,}")
        console = Console(**_PLAIN)
        console.print(table)
        for finding in outcome.findings:
            console.print(f"audit: {finding}")
        if outcome.kills < self._plan.kills and outcome.transfers_per_s:
            console.print(
                f"{outcome.kills} of {self._plan.kills} kills: nobody else was caught in the "
                "middle of a transaction."
            )
        verdict = "found nothing wrong" if not outcome.violations else "FOUND VIOLATIONS"
        console.print(f"The independent audit {verdict}. Run it yourself:")
        console.print(f"  python audit_bank.py {self._plan.directory}")


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
