"""Fences checked by Redis itself, in the script that writes what they protect.

A check and a write in two commands would leave room for a newer holder in between, so both are
one script. Its client is the user's own: the data need not live where the locks do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import redis
import redis.asyncio
from redis.exceptions import NoScriptError, ResponseError
from redis.typing import EncodableT, KeyT

from concordant.drivers.redis.script import Script, lua
from concordant.errors import StaleFence, UsageError

_PRELUDE: Final = lua("guard.lua")


class Fenced(Protocol):
    """What a lease shows of itself to a guard."""

    @property
    def fence(self) -> int:
        """The fence, which rises with every grant."""
        ...

    @property
    def owner(self) -> str:
        """The id of the acquisition that the fence was granted to."""
        ...


class GuardedScript:
    """A Lua script that runs only while no newer holder of a lock has been here.

    `lua` is the text as EVAL takes it, with KEYS and ARGV of its own. The guard of `name` is
    the key ``concordant:guard:NAME`` (another `prefix` is possible); it accepts a fence that
    is newer than all before, or the newest once more from the same owner, and is never
    forgotten. On a Redis Cluster it must lie where the data does: put the hash tag of the
    data into the name, as in ``{user:7}``.
    """

    def __init__(self, lua: str, prefix: str = "concordant:") -> None:
        self._script = Script.of(f"{_PRELUDE}\n{lua}")
        self._prefix = prefix

    def run(
        self,
        client: redis.Redis,
        name: str,
        lease: Fenced,
        keys: Sequence[KeyT] = (),
        args: Sequence[EncodableT] = (),
    ) -> Any:
        """Run the script and return what it returns.

        Raises StaleFence when a newer holder has been here: then nothing was done, and the
        caller has to stop. Other errors are the client's own, as from EVAL; a client that
        repeats commands by itself may run the script twice.
        """
        sent = self._arguments(name, lease, keys, args)
        try:
            try:
                return client.evalsha(self._script.sha, *sent)
            except NoScriptError:
                return client.eval(self._script.text, *sent)
        except ResponseError as error:
            _raise_ours(error, name, lease)
            raise

    async def async_run(
        self,
        client: redis.asyncio.Redis,
        name: str,
        lease: Fenced,
        keys: Sequence[KeyT] = (),
        args: Sequence[EncodableT] = (),
    ) -> Any:
        """Run the script and return what it returns; see `run`."""
        sent = self._arguments(name, lease, keys, args)
        # redis-py types these for both worlds at once.
        evalsha: Any = client.evalsha
        whole: Any = client.eval
        try:
            try:
                return await evalsha(self._script.sha, *sent)
            except NoScriptError:
                return await whole(self._script.text, *sent)
        except ResponseError as error:
            _raise_ours(error, name, lease)
            raise

    def _arguments(
        self, name: str, lease: Fenced, keys: Sequence[KeyT], args: Sequence[EncodableT]
    ) -> list[Any]:
        guard = f"{self._prefix}guard:{name}"
        return [len(keys) + 1, guard, *keys, lease.fence, lease.owner, *args]


_SET: Final = GuardedScript("return redis.call('SET', KEYS[1], ARGV[1])")


def guard_set(client: redis.Redis, name: str, lease: Fenced, key: KeyT, value: EncodableT) -> None:
    """Set a key, unless a newer holder of the lock `name` has been here.

    Raises StaleFence then, with nothing written. For values that do not depend on what was
    there: read only after the guard, never before. What was read before may be the state that
    an earlier holder's last write, still on its way, is about to change, and setting what was
    computed from it would undo that write. To read and write under one guard, do both in a
    GuardedScript.
    """
    _SET.run(client, name, lease, [key], [value])


async def async_guard_set(
    client: redis.asyncio.Redis, name: str, lease: Fenced, key: KeyT, value: EncodableT
) -> None:
    """Set a key, unless a newer holder of the lock has been here; see `guard_set`."""
    await _SET.async_run(client, name, lease, [key], [value])


def _raise_ours(error: ResponseError, name: str, lease: Fenced) -> None:
    """Raise what the guard itself has said, and nothing for an error of the script's own."""
    text = str(error)
    if text.startswith("STALEFENCE"):
        raise StaleFence(
            f"guard {name!r} refuses fence {lease.fence}: a newer holder has been here; stop"
        ) from error
    if text.startswith("NOTAGUARD"):
        message = f"the key of guard {name!r} holds something else; use another prefix"
        raise UsageError(message) from error
