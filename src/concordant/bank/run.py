"""The main job from beginning to end: open, transfer, kill, let a shard join, recover, audit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from concordant.bank.books import Shard
from concordant.bank.crew import Crew, Event
from concordant.bank.inputs import Account
from concordant.bank.killer import Kill, Killer
from concordant.bank.mover import Mover
from concordant.bank.naive import SetIfAbsent, make_teller
from concordant.bank.plan import OWNER_TTL_S, BankPlan
from concordant.bank.ringrow import RingRow
from concordant.errors import BackendUnavailable, ConcordantError
from concordant.sync.client import Client
from concordant.sync.coordinator import Coordinator
from concordant.sync.recovery import Recovered

_DRAIN_S = 30.0
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


@dataclass(slots=True)
class Moment:
    """Something to show on a time line: seconds since the start, what, and whose."""

    at_s: float
    kind: str
    text: str
    slot: int = -1


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


Watch = Callable[[Moment, "Run"], None]


class Run:
    """One run of the bank in its directory."""

    def __init__(self, plan: BankPlan, watch: Watch) -> None:
        self.plan = plan
        self.accounts, self.transfers = plan.inputs()
        self.outcome = Outcome(requested=len(self.transfers))
        self.settled_before = 0
        self.applied = 0
        self.refused = 0
        self._watch = watch
        self._started_s = time.monotonic()
        self._crew = Crew(plan)
        self._joining: threading.Thread | None = None
        self._trouble: Exception | None = None

    @property
    def settled(self) -> int:
        """How many transfers of this run's are applied or refused so far."""
        return self.applied + self.refused

    def execute(self) -> Outcome:
        """Do all that is left to do; raises BackendUnavailable if another run is at it."""
        plan = self.plan
        with (
            Client(plan.coordination) as client,
            client.lock(f"{plan.id}/run", ttl_s=OWNER_TTL_S * 2, timeout_s=OWNER_TTL_S * 4),
        ):
            shards = self._open()
            self.settled_before, applied_before = self._found(shards)
            before = sum(map(_opened, shards.values()))
            with Coordinator(
                plan.log,
                participants=plan.urls().values(),
                owner_ttl_s=OWNER_TTL_S,
                recover_every_s=0.5,
                on_recovered=self._recovered_here,
            ) as coordinator:
                teller = make_teller(plan, client, coordinator)
                self._mover = Mover(teller, _named_by_sagas(plan, coordinator))
                self._work(len(self.transfers) - self.settled_before)
                self._drain(coordinator)
                teller.close()
            self._sum_up(shards, before)
            self.outcome.applied_now = self.outcome.applied - applied_before
            for shard in shards.values():
                shard.close()
        return self.outcome

    # --- opening --------------------------------------------------------------------------

    def _open(self) -> dict[str, Shard]:
        shards = {name: Shard(url) for name, url in self.plan.urls().items()}
        for shard in shards.values():
            shard.prepare()
        rings = RingRow(self.plan.coordination, self.plan.id)
        rings.prepare()
        if self.plan.without == "locks":
            SetIfAbsent(self.plan.coordination).prepare()
        first = self.plan.first_ring()
        if rings.read() is None:
            by_shard: dict[str, list[Account]] = {name: [] for name in shards}
            for account in self.accounts:
                by_shard[first.node(account.id).id].append(account)
            for name, accounts in by_shard.items():
                shards[name].open_accounts(accounts)
            # Written last: while it is missing, opening is done again from the start.
            rings.write(1, first, None)
        rings.close()
        return shards

    def _found(self, shards: dict[str, Shard]) -> tuple[int, int]:
        """Return how many transfers are settled, and how many of those applied."""
        asked = {each.id for each in self.transfers}
        applied = {each for shard in shards.values() for each in shard.applied_ids()} & asked
        refused = {each for shard in shards.values() for each in shard.refused_ids()} & asked
        return len(applied | refused), len(applied)

    # --- working --------------------------------------------------------------------------

    def _work(self, todo: int) -> None:
        plan = self.plan
        killer = Killer(plan, self._crew, self.transfers, todo)
        self.outcome.kill_details = killer.kills
        self._killer = killer
        try:
            if todo:
                for slot in range(plan.workers):
                    self._crew.start(slot)
            while not self._crew.done:
                self._listen(0.05)
                if self._joining is None and self.settled >= todo // 2:
                    self._join()
                if killer.due(self.settled):
                    self._kill(killer)
            if self._joining is None:
                self._join()
            while self._joining is not None and self._joining.is_alive():
                self._listen(0.05)
            if self._trouble is not None:
                raise self._trouble
        finally:
            self._crew.close()
            killer.close()
        self._listen(0)

    def _listen(self, timeout_s: float) -> None:
        for event in self._crew.listen(timeout_s):
            self._heard(event)

    def _heard(self, event: Event) -> None:
        if event.kind == "progress":
            self.applied += event.facts["applied"]
            self.refused += event.facts["refused"]
            self._watch(Moment(self._now_s(), "progress", "", event.slot), self)
        elif event.kind == "recovered":
            self._recovered(event.facts["gid"], event.facts["outcome"], event.pid, event.slot)

    def _recovered_here(self, recovered: Recovered) -> None:
        facts = {"gid": recovered.gid, "outcome": recovered.outcome}
        self._crew.events.put(Event(-1, os.getpid(), "recovered", facts))

    def _recovered(self, gid: str, outcome: str, pid: int, slot: int) -> None:
        if self._killer.recovered(gid, pid):
            self._tell("recovered", f"{gid[-8:]} {outcome} by pid {pid}", slot)

    def _kill(self, killer: Killer) -> None:
        victim = killer.strike(lambda: self._listen(0))
        if victim is None:
            raise ConcordantError(
                "no worker was caught with a transaction unfinished; ask for fewer --kills"
            )
        kill = killer.kills[-1]
        self._tell("kill", f"pid {kill.pid}, {kill.state}", victim.slot)
        self._crew.start(victim.slot)

    def _join(self) -> None:
        self._tell("join", f"{self.plan.joining} joins")
        self._mover.start()
        self.plan.save(self.accounts, len(self.transfers), joined=True)
        self._joining = threading.Thread(target=self._sweep, name="bank-mover", daemon=True)
        self._joining.start()

    def _sweep(self) -> None:
        try:
            self._mover.sweep(account.id for account in self.accounts)
            self._tell("joined", f"{self.plan.joining} has its accounts")
        except Exception as error:  # told by the main thread
            self._trouble = error

    def _now_s(self) -> float:
        return time.monotonic() - self._started_s

    def _tell(self, kind: str, text: str, slot: int = -1) -> None:
        moment = Moment(self._now_s(), kind, text, slot)
        self.outcome.moments.append(moment)
        self._watch(moment, self)

    # --- ending ---------------------------------------------------------------------------

    def _drain(self, coordinator: Coordinator) -> None:
        """Recover until nothing of ours is in doubt."""
        end_s = time.monotonic() + _DRAIN_S
        while True:
            coordinator.recover()
            self._listen(0)
            waiting: list[Any] = [
                doubt for doubt in coordinator.doubts() if doubt.verdict != "foreign"
            ]
            waiting += [saga for saga in coordinator.sagas() if saga.state != "stuck"]
            if not waiting:
                return
            if time.monotonic() > end_s:
                raise BackendUnavailable(
                    f"{len(waiting)} transactions are unfinished; run again with the same --dir"
                )
            time.sleep(0.1)

    def _sum_up(self, shards: dict[str, Shard], before: int) -> None:
        outcome = self.outcome
        done, outcome.applied = self._found(shards)
        outcome.refused = done - outcome.applied
        outcome.total_before = before
        outcome.total_after = sum(shard.total() for shard in shards.values())
        outcome.kills = len(outcome.kill_details)
        outcome.recovered = sum(kill.recovered_by is not None for kill in outcome.kill_details)
        outcome.moved = sum(shard.arrivals() for shard in shards.values())
        outcome.moved_minimum = self.plan.moved_minimum(self.accounts)
        outcome.moved_fair_share = round(len(self.accounts) / len(shards), 1)
        outcome.load = {name: len(shard.account_ids()) for name, shard in shards.items()}
        outcome.seconds = round(self._now_s(), 3)
        outcome.transfers_per_s = round(self.settled / max(outcome.seconds, 0.001), 1)
        outcome.findings = audit(self.plan.directory)
        outcome.violations = len(outcome.findings)


def _opened(shard: Shard) -> int:
    return sum(row[0] for row in shard.rows("SELECT amount FROM opening"))


def _named_by_sagas(plan: BankPlan, coordinator: Coordinator) -> Callable[[str], bool]:
    """Return what tells whether an unfinished saga names an account."""
    if plan.pattern != "saga":
        return lambda account: False

    def named(account: str) -> bool:
        for record in coordinator.journal.unfinished().records:
            transfer = json.loads(record.payload)["payload"]
            if account in (transfer["source"], transfer["target"]):
                return True
        return False

    return named


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
        timeout=120,
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
