# Generated from tests/surface/aio/test_aio_closing.py by tools/unasync.py; do not edit.
"""A client that is closed while its own tasks acquire: none of them leaves anything."""

from __future__ import annotations

import pytest

from concordant import Client, LockLost, UsageError
from concordant.locking.operations import Acquire
from tests.surface.faults import Faults
from tests.surface.sync.standing import holders, until_waiting, waiters
from tests.surface.together import Background, eventually


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("several", [False, True])
def test_what_is_on_its_way_is_withdrawn(
    client: Client, faulty_url: str, faults: Faults, busy: bool, several: bool
) -> None:
    held = client.lock("a").acquire() if busy else None
    closing = Client(faulty_url)
    rule = faults.on("held", Acquire)
    lock = closing.locks(["a", "b"]) if several else closing.lock("a")
    acquiring = Background(lock.acquire)

    def is_on_its_way() -> bool:
        return rule.hits > 0

    eventually(is_on_its_way)
    ending = Background(closing.close)

    def is_closed() -> bool:
        return closing._session._closed

    eventually(is_closed)
    rule.end()
    ending.result()
    # At once: neither a place in the queue nor a lease that nobody keeps.
    assert waiters(client, "a") == []
    assert holders(client, "a") == ([held.owner] if held is not None else [])
    assert holders(client, "b") == []
    with pytest.raises(UsageError, match="closed"):
        acquiring.result()


def test_what_the_closing_itself_hands_over_is_given_back(client: Client, lock_url: str) -> None:
    for _ in range(5):
        closing = Client(lock_url)
        closing.lock("a").acquire()
        acquiring = Background(closing.lock("a").acquire)
        until_waiting(client, "a", 1)
        closing.close()
        assert holders(client, "a") == []
        assert waiters(client, "a") == []
        # It had come too late, or has a lease that says that it is over.
        with pytest.raises((UsageError, LockLost)):
            (acquiring.result()).check()
