"""What can be asked of a lock store, and what it answers.

Operations and results are plain immutable values, so that a batch can be carried by any
driver and the pure model can be run anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

Value = TypeVar("Value")


@dataclass_transform(frozen_default=True)
def value(cls: type[Value]) -> type[Value]:
    """Make a dataclass of the class, whose instances are never changed.

    The type checker sees to that, not the class itself: several are made for each lock that is
    taken, and a dataclass that refuses assignments takes three times as long to make.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


# --- operations ---------------------------------------------------------------------------


@value
class Acquire:
    """Ask for permits under an owner id made beforehand; idempotent by that id.

    With `wait` the owner joins the FIFO queue when it cannot be served; asking again
    refreshes its place. `capacity` is the lock's number of permits (1: a mutex) and must
    agree among all who use the name at the same time.
    """

    name: str
    owner: str
    ttl_ms: int
    wait: bool = False
    permits: int = 1
    capacity: int = 1
    note: str = ""


@value
class Confirm:
    """Accept a grant that was handed over; starts the full TTL."""

    name: str
    owner: str
    fence: int
    ttl_ms: int


@value
class Renew:
    """Extend a held lease to a full TTL from now."""

    name: str
    owner: str
    fence: int
    ttl_ms: int


@value
class Release:
    """Give the permits back; the head of the queue is granted in the same step."""

    name: str
    owner: str
    fence: int


@value
class Cancel:
    """Take the owner out of the queue or the holders, whichever it is in.

    `late` says that an Acquire of this owner may still be on its way: a tombstone then
    makes the store refuse it.
    """

    name: str
    owner: str
    late: bool = False


@value
class Inspect:
    """Look at a lock without changing it."""

    name: str


@value
class Break:
    """Evict the holder with this fence (0: every holder); an administrator's act."""

    name: str
    fence: int = 0


Operation = Acquire | Confirm | Renew | Release | Cancel | Inspect | Break

# --- results ------------------------------------------------------------------------------


@value
class Granted:
    """The owner holds its permits, for a full TTL from some moment after the request left."""

    fence: int


@value
class Queued:
    """The owner waits; ask again after `retry_ms` unless a hint comes before."""

    position: int
    retry_ms: int


@value
class Busy:
    """No permits are free and the owner did not want to wait."""

    retry_ms: int


@value
class Refused:
    """The operation was not done, and asking again will not help; `reason` says why."""

    reason: str


@value
class Held:
    """Confirm or Renew was done: a full TTL runs from now."""


@value
class Lost:
    """The owner does not hold this lock under this fence (any more)."""


@value
class Handed:
    """A grant that passed to another owner of the same client, already confirmed."""

    owner: str
    fence: int


@value
class Released:
    """The permits were given back; `handed` lists hand-overs inside the same client."""

    handed: tuple[Handed, ...] = ()


@value
class Cancelled:
    """The owner holds nothing and waits for nothing; `was` says what it was before."""

    was: str  # "holder", "waiter" or "absent"


@value
class HolderView:
    """One holder, as an onlooker sees it."""

    owner: str
    fence: int
    permits: int
    remaining_ms: int
    confirmed: bool
    note: str


@value
class WaiterView:
    """One waiter, as an onlooker sees it."""

    owner: str
    permits: int
    note: str


@value
class View:
    """A lock as it stands: its last fence, who holds it and who waits, in order."""

    name: str
    fence: int
    capacity: int
    holders: tuple[HolderView, ...]
    waiters: tuple[WaiterView, ...]


@value
class Broken:
    """So many holders were evicted."""

    count: int


Result = Granted | Queued | Busy | Refused | Held | Lost | Released | Cancelled | View | Broken


@value
class Hint:
    """A message that `owner` was granted `name` under `fence` and should confirm."""

    name: str
    owner: str
    fence: int
