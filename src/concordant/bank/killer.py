"""Kill workers in the middle of a transaction: stop, look, kill only if one is unfinished."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass

from concordant.bank.books import Shard
from concordant.bank.crew import Crew, Worker
from concordant.bank.inputs import Transfer
from concordant.bank.plan import BankPlan
from concordant.drivers import registry
from concordant.errors import BackendUnavailable, OutcomeUnknown
from concordant.transactions.names import BranchId
from concordant.transactions.operations import Listing, Load, Query

_PATIENCE_S = 20.0
_STARTING_S = 0.01


@dataclass(slots=True)
class Kill:
    """One kill: who, in the middle of what, and which process finished it."""

    pid: int
    gid: str
    state: str
    recovered_by: int | None = None

    def as_json(self) -> dict[str, object]:
        """Return the details as JSON-ready values."""
        return asdict(self)


class Killer:
    """Kills at points of progress that the seed fixes."""

    def __init__(self, plan: BankPlan, crew: Crew, transfers: list[Transfer], todo: int) -> None:
        self._slots = {each.id: number % plan.workers for number, each in enumerate(transfers)}
        self._random = random.Random(plan.seed)
        self._crew = crew
        self._participants = [registry.participant(url) for url in plan.urls().values()]
        self._log = registry.transaction_log(plan.log)
        self._sagas = plan.pattern == "saga"
        plain = plan.without == "transactions"
        self._shards = [Shard(url) for url in plan.urls().values()] if plain else []
        share = todo / (plan.kills + 1)
        self._points = deque(
            round(share * (number + 0.3 + 0.4 * self._random.random()))
            for number in range(plan.kills)
        )
        self.kills: list[Kill] = []

    def due(self, settled: int) -> bool:
        """Tell whether so many settled transfers have passed the next point."""
        return bool(self._points) and settled >= self._points[0]

    def strike(self, listen: Callable[[], None]) -> Worker | None:
        """Stop workers until one has a transaction unfinished, and kill that one.

        Whoever is starting is waited for. Returns the victim, or None if nobody was caught in
        the middle: all are done, or a long time has passed. This point then has no kill.
        """
        self._points.popleft()
        end_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end_s:
            listen()
            working = [each for each in self._crew.workers.values() if not each.done]
            ready = [each for each in working if each.owner]
            if not working:
                return None
            if not ready:
                end_s = time.monotonic() + _PATIENCE_S
                time.sleep(_STARTING_S)
                continue
            victim = self._random.choice(ready)
            if self._caught(victim):
                return victim
            time.sleep(self._random.random() * 0.004)
        return None

    def _caught(self, victim: Worker) -> bool:
        """Kill the worker if it has a transaction unfinished; else let it go on."""
        if not victim.stop():
            return False
        try:
            seen = self._unfinished(victim)
        except (BackendUnavailable, OutcomeUnknown):
            # It was stopped while it kept the very database that is asked.
            seen = None
        if seen is None:
            victim.resume()
            return False
        victim.kill()
        self.kills.append(Kill(victim.pid, *seen))
        return True

    def _unfinished(self, victim: Worker) -> tuple[str, str] | None:
        """Return a transaction of the worker's that is in doubt now, and how far it is."""
        if self._shards:
            return self._torn(victim.slot)
        if self._sagas:
            return self._under_way(victim.owner)
        prepared: dict[str, int] = {}
        for participant in self._participants:
            for branch in participant.in_doubt():
                parsed = BranchId.parse(branch.branch)
                if parsed is not None and parsed.owner == victim.owner:
                    prepared[parsed.gid] = prepared.get(parsed.gid, 0) + 1
        for gid, count in prepared.items():
            (found,) = self._log.apply([Load(gid)])
            decided = isinstance(found, Listing) and found.decisions
            state = "decided commit" if decided else "undecided"
            return gid, f"{count} prepared, {state}"
        return None

    def _under_way(self, owner: str) -> tuple[str, str] | None:
        """Return a saga of the owner's that has not ended, and where it stands."""
        (found,) = self._log.apply([Query(unfinished=True)])
        assert isinstance(found, Listing)
        mine = [record for record in found.records if record.owner == owner]
        return (mine[0].gid, f"saga {mine[0].state}") if mine else None

    def _torn(self, slot: int) -> tuple[str, str] | None:
        """Return a transfer of the slot that one shard has committed and another has not."""
        once: set[str] = set()
        for shard in self._shards:
            once ^= shard.half_done()
        once -= {kill.gid for kill in self.kills}
        torn = sorted(each for each in once if self._slots.get(each) == slot)
        return (torn[0], "one of two commits done") if torn else None

    def recovered(self, gid: str, pid: int) -> bool:
        """Note who recovered a killed worker's transaction; True if it was one of them."""
        for kill in self.kills:
            if kill.gid == gid and kill.recovered_by is None:
                kill.recovered_by = pid
                return True
        return False

    def close(self) -> None:
        """Close connections."""
        for participant in self._participants:
            participant.close()
        self._log.close()
        for shard in self._shards:
            shard.close()
