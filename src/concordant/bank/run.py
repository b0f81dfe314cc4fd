"""The main job from beginning to end: open, transfer, kill, let a shard join, recover, audit."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

from concordant.bank.books import Shard
from concordant.bank.crew import Crew, Event
from concordant.bank.killer import Killer
from concordant.bank.mover import Mover
from concordant.bank.naive import make_teller
from concordant.bank.opening import open_bank
from concordant.bank.outcome import Outcome, audit
from concordant.bank.plan import OWNER_TTL_S, BankPlan
from concordant.bank.progress import Progress, Watch
from concordant.bank.settled import Settled
from concordant.errors import BackendUnavailable
from concordant.sync.client import Client
from concordant.sync.coordinator import Coordinator
from concordant.sync.recovery import Recovered

_DRAIN_S = 30.0
_LISTEN_S = 0.05


class Run:
    """One run of the bank in its directory."""

    def __init__(self, plan: BankPlan, watch: Watch) -> None:
        self._plan = plan
        self._accounts, self._transfers = plan.inputs()
        self._progress = Progress(len(self._transfers), watch)
        self._crew = Crew(plan)
        self._joining: threading.Thread | None = None
        self._trouble: Exception | None = None

    def execute(self) -> Outcome:
        """Do all that is left to do; raises LockTimeout if another run is at it."""
        plan = self._plan
        with ExitStack() as opened:
            client = opened.enter_context(Client(plan.coordination))
            opened.enter_context(
                client.lock(f"{plan.id}/run", ttl_s=OWNER_TTL_S * 2, timeout_s=OWNER_TTL_S * 4)
            )
            shards = {
                name: opened.enter_context(closing(Shard(url))) for name, url in plan.urls().items()
            }
            open_bank(plan, self._accounts, shards)
            before = Settled.read(plan, shards.values())
            self._progress.settled_before = len(before.all)
            killer = self._finish_all(client)
            return self._sum_up(shards, before, killer)

    def _finish_all(self, client: Client) -> Killer:
        """Do what is left, and have nothing in doubt at the end."""
        plan = self._plan
        todo = len(self._transfers) - self._progress.settled_before
        self._killer = Killer(plan, self._crew, self._transfers, todo)
        with (
            closing(self._killer),
            Coordinator(
                plan.log,
                participants=plan.urls().values(),
                owner_ttl_s=OWNER_TTL_S,
                recover_every_s=0.5,
                on_recovered=self._recovered_here,
            ) as coordinator,
            closing(make_teller(plan, client, coordinator)) as teller,
        ):
            self._mover = Mover(teller, _named_by_sagas(plan, coordinator))
            self._work(todo)
            self._drain(coordinator)
        return self._killer

    # --- working --------------------------------------------------------------------------

    def _work(self, todo: int) -> None:
        try:
            if todo:
                for slot in range(self._plan.workers):
                    self._crew.start(slot)
            while not self._crew.done:
                self._listen(_LISTEN_S)
                if self._joining is None and self._progress.settled >= todo // 2:
                    self._join()
                if self._killer.due(self._progress.settled):
                    self._kill()
            if self._joining is None:
                self._join()
            while self._joining is not None and self._joining.is_alive():
                self._listen(_LISTEN_S)
            if self._trouble is not None:
                raise self._trouble
        finally:
            self._crew.close()
        self._listen(0)

    def _listen(self, timeout_s: float) -> None:
        for event in self._crew.listen(timeout_s):
            self._heard(event)

    def _heard(self, event: Event) -> None:
        facts = event.facts
        if event.kind == "ready":
            self._progress.ready()
        elif event.kind == "progress":
            self._progress.count(facts["applied"] + facts["refused"], event.slot)
        elif event.kind == "recovered" and self._killer.recovered(facts["gid"], event.pid):
            text = f"{facts['gid'][-8:]} {facts['outcome']} by pid {event.pid}"
            self._progress.tell("recovered", text, event.slot)

    def _recovered_here(self, recovered: Recovered) -> None:
        facts = {"gid": recovered.gid, "outcome": recovered.outcome}
        self._crew.events.put(Event(-1, os.getpid(), "recovered", facts))

    def _kill(self) -> None:
        victim = self._killer.strike(lambda: self._listen(0))
        if victim is not None:
            kill = self._killer.kills[-1]
            self._progress.tell("kill", f"pid {kill.pid}, {kill.state}", victim.slot)
            self._crew.start(victim.slot)

    def _join(self) -> None:
        joining = self._plan.joining
        self._progress.tell("join", f"{joining} joins")
        self._mover.start()
        self._plan.save(self._accounts, len(self._transfers), joined=True)
        self._joining = threading.Thread(target=self._sweep, name="bank-mover", daemon=True)
        self._joining.start()

    def _sweep(self) -> None:
        try:
            self._mover.sweep(account.id for account in self._accounts)
            self._progress.tell("joined", f"{self._plan.joining} has its accounts")
        except Exception as error:  # told by the main thread
            self._trouble = error

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

    def _sum_up(self, shards: dict[str, Shard], before: Settled, killer: Killer) -> Outcome:
        progress, settled = self._progress, Settled.read(self._plan, shards.values())
        seconds, working_s = progress.now_s, max(progress.working_s, 0.001)
        findings = audit(self._plan.directory)
        return Outcome(
            total_before=sum(shard.opened() for shard in shards.values()),
            total_after=sum(shard.total() for shard in shards.values()),
            requested=len(self._transfers),
            applied=len(settled.applied),
            applied_now=len(settled.applied - before.applied),
            refused=len(settled.refused - settled.applied),
            kills=len(killer.kills),
            recovered=sum(kill.recovered_by is not None for kill in killer.kills),
            moved=sum(shard.arrivals() for shard in shards.values()),
            moved_minimum=self._plan.moved_minimum(self._accounts),
            moved_fair_share=round(len(self._accounts) / len(shards), 1),
            seconds=round(seconds, 3),
            transfers_per_s=round(len(settled.all - before.all) / working_s, 1),
            violations=len(findings),
            kill_details=killer.kills,
            findings=findings,
            moments=progress.moments,
            load={name: len(shard.account_ids()) for name, shard in shards.items()},
        )


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
