"""Which transfers of a bank are settled, by what stands on its shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from concordant.bank.books import Shard
from concordant.bank.plan import BankPlan


@dataclass(frozen=True, slots=True)
class Settled:
    """The transfers that are wholly applied, and those that are refused."""

    applied: frozenset[str]
    refused: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        """Both: nothing is left to do about them."""
        return self.applied | self.refused

    @classmethod
    def read(cls, plan: BankPlan, shards: Iterable[Shard]) -> Settled:
        """Read what the shards say."""
        rows: Counter[str] = Counter()
        refused: set[str] = set()
        for shard in shards:
            rows.update(shard.applied_ids())
            refused |= shard.refused_ids()
        # Without transactions a crash leaves one row of two, and nobody goes back to it.
        least = 1 if plan.without == "transactions" else 2
        applied = frozenset(each for each, count in rows.items() if count >= least)
        return cls(applied, frozenset(refused))
