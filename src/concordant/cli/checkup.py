"""What ``doctor`` does to each port of a backend to find out whether it works."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from concordant.cli import exits
from concordant.cli.reach import Asking
from concordant.drivers import registry
from concordant.drivers.base import LockStore, Participant, TransactionLog
from concordant.drivers.capabilities import Capabilities, Survey
from concordant.drivers.urls import mask
from concordant.errors import BackendUnavailable, GuaranteeUnavailable, UsageError
from concordant.locking.names import new_client, owner_id
from concordant.locking.operations import Acquire, Cancel, Granted, Inspect, Release, Released
from concordant.transactions.operations import Alive, OwnerStates

PORTS: Final = ("locks", "log", "participant")

_TRIPS: Final = 10
_TTL_MS: Final = 10_000


@dataclass(slots=True)
class Report:
    """How one port is.

    `status` is ok, unused (nothing is wrong, and its tables are not made yet), absent (the
    backend has no such port), or what is wrong.
    """

    port: str
    status: str = "ok"
    error: str = ""
    capabilities: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def fail(self, error: Exception) -> None:
        """Note what went wrong, by what a user would do about it."""
        code = exits.code_of(error)
        by_code = {exits.UNAVAILABLE: "unreachable", exits.INTERNAL: "failed"}
        self.status = by_code.get(code, "misconfigured")
        self.error = exits.one_line(error)


def examine(url: str, ports: tuple[str, ...], limit_s: float, make: bool) -> list[Report]:
    """Return a report on each of the ports; together they take no longer than the limit.

    Unless told to, it makes no tables; a port that has none is not tried.
    """
    reports = [Report(port) for port in ports]
    asked = [(each, Asking(mask(url), _Check(url, each, make))) for each in reports]
    for report, asking in asked:
        try:
            asking.result(limit_s)
        except BackendUnavailable as error:
            # A copy, since the check may still be writing into the report it was given.
            reports[reports.index(report)] = late = Report(report.port)
            late.fail(error)
        except Exception as error:
            report.fail(error)
    return reports


@dataclass(frozen=True, slots=True)
class _Check:
    """What is done to one port: look at it, and try it if its tables are there."""

    url: str
    report: Report
    make: bool

    def __call__(self) -> None:
        factory, check = _CHECKS[self.report.port]
        try:
            port = getattr(registry, factory)(self.url)
        except GuaranteeUnavailable as error:
            self.report.status, self.report.error = "absent", exits.one_line(error)
            return
        with closing(port):
            self.report.capabilities = describe(port.capabilities)
            if self._usable(registry.survey(self.url, factory)):
                check(port, self.report)

    def _usable(self, found: Survey) -> bool:
        """Tell whether to go on; what is not there is made only when asked for."""
        if found.hindrance:
            raise UsageError(f"{mask(self.url)}: {found.hindrance}")
        if found.made or self.make:
            return True
        self.report.status = "unused"
        self.report.facts["would_make"] = ", ".join(found.missing)
        return False


def _check_locks(store: LockStore, report: Report) -> None:
    store.apply([])
    name = f"concordant-doctor-{new_client()}"
    report.facts["round_trip_ms"] = _median_ms(lambda: store.apply([Inspect(name)]))
    report.facts["acquire_and_release_ms"] = _try_lock(store, name)


def _try_lock(store: LockStore, name: str) -> float:
    """Acquire and release a throwaway lock again and again; its fence must rise."""
    client = new_client()
    fences: list[int] = []

    def once() -> None:
        owner = owner_id(client, len(fences) + 1)
        try:
            (granted,) = store.apply([Acquire(name, owner, _TTL_MS, note="concordant doctor")])
            if not isinstance(granted, Granted):
                raise BackendUnavailable(f"a lock that nobody else uses was not granted: {granted}")
            (released,) = store.apply([Release(name, owner, granted.fence)])
        except BaseException:
            store.apply([Cancel(name, owner, late=True)])
            raise
        if not isinstance(released, Released):
            raise BackendUnavailable(f"a lock that was just acquired was not there: {released}")
        if fences and granted.fence <= fences[-1]:
            raise BackendUnavailable(f"fences do not rise: {granted.fence} after {fences[-1]}")
        fences.append(granted.fence)

    return _median_ms(once)


def _check_log(log: TransactionLog, report: Report) -> None:
    report.facts["round_trip_ms"] = _median_ms(lambda: log.apply([OwnerStates(())]))
    (answer,) = log.apply([OwnerStates(())])
    report.facts["log_id"] = answer.log_id if isinstance(answer, Alive) else ""


def _check_participant(participant: Participant, report: Report) -> None:
    report.facts["resource"] = participant.resource()
    report.facts["round_trip_ms"] = _median_ms(participant.in_doubt)
    report.facts["in_doubt"] = len(participant.in_doubt())


# Each port as the command names it: its factory in the registry, and how it is tried.
_CHECKS: Final[dict[str, tuple[str, Callable[[Any, Report], None]]]] = {
    "locks": ("lock_store", _check_locks),
    "log": ("transaction_log", _check_log),
    "participant": ("participant", _check_participant),
}


def describe(capabilities: Capabilities) -> dict[str, Any]:
    """Return what a backend promises as JSON shows it."""
    tuning = ("lanes", "batch_best")
    promises = {name: value for name, value in asdict(capabilities).items() if name not in tuning}
    return {**promises, "fencing": str(capabilities.fencing)}


def _median_ms(action: Callable[[], object]) -> float:
    times_ms: list[float] = []
    for _ in range(_TRIPS):
        start_ns = time.perf_counter_ns()
        action()
        times_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
    return round(statistics.median(times_ms), 3)
