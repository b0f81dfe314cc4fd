"""What a run of the bank did, in numbers, and what the independent audit found."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from concordant.bank.killer import Kill
from concordant.bank.progress import Moment

NUMBERS: Final = (
    "total_before",
    "total_after",
    "requested",
    "applied",
    "applied_now",
    "refused",
    "kills",
    "recovered",
    "moved",
    "moved_minimum",
    "moved_fair_share",
    "seconds",
    "transfers_per_s",
    "violations",
)
_AUDIT_S: Final = 120


@dataclass(slots=True)
class Outcome:
    """What a run did, in numbers; `violations` is what the independent audit found."""

    total_before: int = 0
    total_after: int = 0
    requested: int = 0
    applied: int = 0
    applied_now: int = 0
    refused: int = 0
    kills: int = 0
    recovered: int = 0
    moved: int = 0
    moved_minimum: int = 0
    moved_fair_share: float = 0.0
    seconds: float = 0.0
    transfers_per_s: float = 0.0
    violations: int = 0
    kill_details: list[Kill] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    load: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the documented fields as JSON-ready values."""
        numbers: dict[str, Any] = {name: getattr(self, name) for name in NUMBERS}
        numbers["kill_details"] = [kill.as_json() for kill in self.kill_details]
        return numbers


def audit_script() -> Path:
    """Return where the independent audit lies: in the checkout, or installed beside us."""
    here = Path(__file__).parents[3] / "audit_bank.py"
    return here if here.exists() else Path(sys.prefix, "share", "concordant", "audit_bank.py")


def audit(directory: str) -> list[str]:
    """Run the independent audit over the directory and return what it found."""
    done = subprocess.run(
        [sys.executable, str(audit_script()), directory, "-o", "json"],
        capture_output=True,
        text=True,
        timeout=_AUDIT_S,
        check=False,
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        report = {"violations": [], "error": done.stderr.strip() or "the audit said nothing"}
    found = [f"{each['check']}: {each['detail']}" for each in report["violations"]]
    if report.get("error"):
        found.append(f"audit: {report['error']}")
    return found
