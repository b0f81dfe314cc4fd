"""Who asks: clients with owner ids of their own."""

from __future__ import annotations

from itertools import count

from concordant.locking.names import new_client, owner_id
from concordant.transactions.names import BranchId, new_gid, new_owner
from concordant.transactions.operations import BranchRef


class Party:
    """One client of a lock store, as a process would be one."""

    def __init__(self) -> None:
        self.client = new_client()
        self._numbers = count(1)

    def owner(self) -> str:
        """Return the id of one more acquisition."""
        return owner_id(self.client, next(self._numbers))


def strangers(number: int) -> list[str]:
    """Return so many owners, each of a client of its own."""
    return [Party().owner() for _ in range(number)]


def refs(number: int = 2) -> tuple[BranchRef, ...]:
    """Return so many references to branches, each of a resource of its own."""
    return tuple(
        BranchRef(f"cabcdefg.owner123-1.{i}.g-é", f"resource-{i}", f"sqlite:///tmp/{i}.db")
        for i in range(number)
    )


def new_branch(index: int = 0, log_id: str = "cabc1234", gid: str = "") -> BranchId:
    """Return the id of a branch of a fresh global transaction."""
    return BranchId(log_id, new_owner(), 1, index, gid or new_gid())
