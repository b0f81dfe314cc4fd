"""One held connection to the server, for threads and for tasks.

redis-py makes the connection and logs in; its pools and retries are left out. Threads then speak
the protocol here, which redis-py does at a cost that shows in every hand-over. A connection that
may still hold somebody's reply is dropped, never used again.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, Final

import redis.asyncio.connection as aio
from redis import connection as sync
from redis.exceptions import InvalidResponse, NoScriptError, RedisError, ResponseError

from concordant.drivers.redis.errors import is_reply, translate
from concordant.drivers.redis.options import RedisOptions
from concordant.drivers.redis.wire import Caller, value_at
from concordant.errors import GuaranteeUnavailable

# One that was idle for longer may have been closed by the server, which is looked at first.
_FRESH_S: Final = 1.0
_CHUNK: Final = 65536


def check_memory(place: str, info: bytes) -> None:
    """Raise GuaranteeUnavailable if the server may throw held locks away to make room."""
    found = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
    policy = found.get("maxmemory_policy", "")
    if found.get("maxmemory", "0") != "0" and policy.startswith("allkeys"):
        raise GuaranteeUnavailable(
            f"{place} may evict held locks (maxmemory-policy {policy}); "
            "set noeviction or a volatile policy, or choose another server"
        )


def connection_for(options: RedisOptions) -> Any:
    """Return a connection of redis-py for threads, not yet connected."""
    kind = sync.SSLConnection if options.tls else sync.Connection
    return kind(socket_timeout=options.reply_timeout_s, **options.connection_arguments())


class Link:
    """One connection, used by one thread at a time; it connects at its first use."""

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._connection = connection_for(options)
        self._socket: socket.socket | None = None
        self._used_s = 0.0

    def run(self, caller: Caller, command: bytes) -> bytes:
        """Run a script and return its reply, sending its text along if the server lacks it."""
        try:
            reply: bytes = self.call(command)
        except NoScriptError:
            reply = self.call(caller.with_text(command))
        return reply

    def call(self, command: bytes) -> Any:
        """Send one command and return its reply.

        Raises BackendUnavailable or UsageError when it was not carried out, OutcomeUnknown
        when it may have been, and NoScriptError as it is.
        """
        sent = False
        try:
            now_s = time.monotonic()
            connected = self._socket
            if connected is None or now_s - self._used_s > _FRESH_S:
                connected = self._refreshed()
            sent = True
            connected.sendall(command)
            reply = self._read(connected)
            self._used_s = now_s
            return reply
        except NoScriptError:
            raise
        except (RedisError, OSError) as error:
            if not is_reply(error):
                self.close()
            raise translate(error, self._options.place, sent) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection; the next use makes another."""
        self._socket = None
        self._connection.disconnect()

    def _read(self, connected: socket.socket) -> Any:
        data = connected.recv(_CHUNK)
        end = data.find(b"\r\n")
        if end > 0 and data[:1] == b"$" and len(data) == end + 4 + int(data[1:end]):
            return data[end + 2 : -2]  # as nearly all that a script returns: one string, all there
        while (found := value_at(data)) is None:
            more = connected.recv(_CHUNK) if data else b""
            if not more:
                raise ConnectionResetError("the server has closed the connection")
            data += more
        reply, end = found
        if end != len(data):
            raise InvalidResponse("more came than was asked for")
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def _refreshed(self) -> socket.socket:
        """Return a connection that is not known to have ended."""
        if self._socket is not None:
            try:
                # Nothing was asked, so whatever can be read is the end, or not for us.
                stale = self._connection.can_read(timeout=0)
            except (RedisError, OSError):
                stale = True
            if stale:
                self.close()
        return self._socket or self._connect()

    def _connect(self) -> socket.socket:
        connection = self._connection
        connection.connect()
        try:
            connection.send_command("INFO", "memory", check_health=False)
            check_memory(self._options.place, connection.read_response(disable_decoding=True))
        except RedisError as error:
            if not is_reply(error) or connection._sock is None:
                raise
            # Not everybody may ask; the script itself will tell what else is wrong.
        made: socket.socket = connection._sock
        self._socket = made
        return made


class AsyncLink:
    """One connection, used by one task at a time; it connects at its first use."""

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        kind = aio.SSLConnection if options.tls else aio.Connection
        # One timer for a whole exchange costs less than redis-py's, one for each half.
        self._connection: Any = kind(socket_timeout=None, **options.connection_arguments())
        self._connected = False
        self._used_s = 0.0

    async def run(self, caller: Caller, command: bytes) -> bytes:
        """Run a script and return its reply, sending its text along if the server lacks it."""
        try:
            reply: bytes = await self.call(command)
        except NoScriptError:
            reply = await self.call(caller.with_text(command))
        return reply

    async def call(self, command: bytes) -> Any:
        """Send one command and return its reply; see Link.call for the errors.

        If the task is cancelled meanwhile, the connection is dropped with the reply.
        """
        connection, sent = self._connection, False
        try:
            if not await self._ready():
                await self._connect()
            async with asyncio.timeout(self._options.reply_timeout_s):
                sent = True
                await connection.send_packed_command((command,), check_health=False)
                reply = await connection.read_response(disable_decoding=True)
        except NoScriptError:
            raise
        except (RedisError, OSError) as error:
            if not is_reply(error):
                await self.close()
            raise translate(error, self._options.place, sent) from error
        except BaseException:
            await self.close()
            raise
        self._used_s = time.monotonic()
        return reply

    async def close(self) -> None:
        """Drop the connection; the next use makes another."""
        self._connected = False
        await self._connection.disconnect(nowait=True)

    async def _ready(self) -> bool:
        if not self._connected or time.monotonic() - self._used_s < _FRESH_S:
            return self._connected
        # redis-py's own ways to ask differ from version to version, and some miss the end.
        reader = getattr(self._connection, "_reader", None)
        if reader is None or reader.at_eof():
            await self.close()
        return self._connected

    async def _connect(self) -> None:
        options, connection = self._options, self._connection
        async with asyncio.timeout(options.connect_timeout_s):
            await connection.connect()
            try:
                await connection.send_command("INFO", "memory", check_health=False)
                check_memory(options.place, await connection.read_response(disable_decoding=True))
            except RedisError as error:
                if not is_reply(error):
                    raise
            self._connected = True
