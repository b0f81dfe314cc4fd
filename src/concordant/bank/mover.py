"""Let a shard join: move the accounts whose owner changes, one by one, while transfers go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from concordant.bank.books import Books
from concordant.bank.ringrow import RingInForce
from concordant.bank.teller import AGAIN, Teller


class Mover:
    """Moves accounts from their former owner to their new one, each in a transaction."""

    def __init__(self, teller: Teller, busy: Callable[[str], bool]) -> None:
        self._teller = teller
        self._busy = busy

    def start(self) -> None:
        """Put the new ring in force, together with the one before; no-op when it is."""
        rings = self._teller.rings
        ring = self._teller.ring_in_force()
        last = self._teller.plan.last_ring()
        if ring.ring.fingerprint() != last.fingerprint():
            rings.write(ring.epoch + 1, last, ring.ring)

    def sweep(self, accounts: Iterable[str]) -> None:
        """Move every account that has to, in passes, until none is left; then say so."""
        ring = self._teller.ring_in_force()
        if ring.before is None:
            return
        left = [account for account in accounts if len(ring.owners(account)) == 2]
        while left:
            left = [account for account in left if not self._try(ring, account)]
            if left:
                time.sleep(0.05)
        self._teller.rings.write(ring.epoch + 1, ring.ring, None)

    def _try(self, ring: RingInForce, account: str) -> bool:
        try:
            return self._move(ring, account)
        except AGAIN:
            return False

    def _move(self, ring: RingInForce, account: str) -> bool:
        """Move one account under its lock; False if an unfinished transaction names it."""
        target, source = ring.owners(account)
        teller = self._teller
        with teller.hold(account) as leases:
            if self._busy(account):
                return False
            with teller.transaction(source, target) as connections:
                old, new = map(Books, connections)
                teller.guard(old, account, leases)
                teller.guard(new, account, leases)
                if old.balance(account) is not None:
                    new.put_in(account, old.take_out(account), ring.epoch)
        return True
