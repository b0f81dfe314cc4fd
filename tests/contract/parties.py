"""Who asks: clients with owner ids of their own."""

from __future__ import annotations

from itertools import count

from concordant.locking.names import new_client, owner_id


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
