"""A lock store on a real server and the pure model of it, side by side."""

from __future__ import annotations

import secrets

from redis import Redis

from concordant.drivers.redis.codec import decode_hint
from concordant.drivers.redis.locks import RedisLockStore
from concordant.drivers.redis.options import RedisOptions
from concordant.drivers.redis.script import applying, lua
from concordant.locking.batch import refusal, run
from concordant.locking.model import LockRecord, Moment
from concordant.locking.operations import Hint, Inspect, Operation
from tests.provision.redis import server

CLIENTS = ("aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb")
# Few, so that they meet often.
OWNERS = [f"{client}.{number}" for client in CLIENTS for number in range(3)]
NAMES = ("a", "b {x} %")
WALL_US = 1_700_000_000_000_000

_CLOCK = "call('TIME')"


class Twins:
    """The same lock store twice: on the server by the script, and in memory by the model."""

    def __init__(self, plain: Redis, store: RedisLockStore, prefix: str) -> None:
        self.records: dict[str, LockRecord] = {}
        self.now_us = WALL_US
        self._plain = plain
        self._store = store
        self._clock = f"{prefix}now"
        self._told = plain.pubsub(ignore_subscribe_messages=True)
        self._told.psubscribe(f"{prefix}hint:*")
        self._told.get_message(timeout=5)

    def ask(self, step_us: int, batch: list[Operation]) -> None:
        """Apply a batch to both, and compare all that can be seen of it."""
        self.now_us += step_us
        self._plain.set(self._clock, self.now_us)
        moment = Moment(self.now_us, self.now_us)
        refusals = [refusal(operation) for operation in batch]
        expected, hints = run(self.records, batch, refusals, moment)
        assert self._store.apply(batch) == expected
        assert self._hints(len(hints)) == hints
        looks: list[Operation] = [Inspect(name) for name in NAMES]
        expected, _ = run(self.records, looks, [None] * len(looks), moment)
        assert self._store.apply(looks) == expected

    def chosen(self, name: str, back: int) -> tuple[str, int]:
        """Return owner and fence of a present grant, or of one that never was."""
        record = self.records.get(name, LockRecord())
        newest = sorted(record.holders, key=lambda holder: -holder.fence)
        if 0 <= back < len(newest):
            return newest[back].owner, newest[back].fence
        return OWNERS[0], record.fence + 1

    def _hints(self, number: int) -> list[Hint]:
        hints: list[Hint | None] = []
        # What the script published has reached the server's output before its reply has; one
        # more look finds what should not have been published.
        while message := self._told.get_message(timeout=5 if len(hints) < number else 0):
            hints.append(decode_hint(message["data"]))
        return [hint for hint in hints if hint]

    def close(self) -> None:
        self._told.close()
        self._store.close()


def twins(plain: Redis) -> Twins:
    prefix = f"model-{secrets.token_hex(8)}:"
    options = RedisOptions.parse(server().url(prefix))
    text = lua("apply.lua")
    assert text.count(_CLOCK) == 1
    # The key holds microseconds, and the script adds up seconds and microseconds.
    clock = "{0, call('GET', ARGV[2] .. 'now')}"
    return Twins(plain, RedisLockStore(options, applying(text.replace(_CLOCK, clock))), prefix)
