"""Hints between processes of one machine: a Unix datagram socket for each client.

The sockets lie in `<database>.hints/`, named by client id, so that whoever can open the file
finds them, in a container with its own /tmp too. What a send tells:

* sent: the client will see it, or die first;
* refused: the socket is there but nobody has it open, so its process is gone;
* anything else (its queue of about ten is full; it does not listen): the hint is lost, which
  costs latency alone.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterable, Iterator
from socket import AF_UNIX, SOCK_DGRAM, socket
from typing import Final

from concordant.drivers.sqlite.shortcut import short_path
from concordant.errors import BackendUnavailable
from concordant.locking.names import client_of, is_client
from concordant.locking.operations import Hint

# Several hints travel in one datagram, since it is datagrams that a queue counts. macOS takes
# 2048 bytes in one; a single hint has room in that, its name being 512 bytes at most.
_DATAGRAM_BYTES_MAX: Final = 2000


def hints_folder(path: str) -> str:
    """Return where the sockets of a database's clients lie."""
    return os.path.realpath(path) + ".hints"


def pack(hints: Iterable[Hint]) -> Iterator[bytes]:
    """Yield datagrams that together carry the hints."""
    items: list[bytes] = []
    size = 0
    for hint in hints:
        fields = [hint.name, hint.owner, hint.fence]
        item = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        if items and size + len(item) > _DATAGRAM_BYTES_MAX:
            yield b"[" + b",".join(items) + b"]"
            items, size = [], 0
        items.append(item)
        size += len(item) + 1
    if items:
        yield b"[" + b",".join(items) + b"]"


def unpack(data: bytes) -> list[Hint]:
    """Return the hints of a datagram; none of one that is not ours."""
    try:
        return [Hint(str(name), str(owner), int(fence)) for name, owner, fence in json.loads(data)]
    except (ValueError, TypeError):
        return []


class Sender:
    """Sends hints to the clients of one database, without ever waiting for them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._mutex = threading.Lock()
        self._folder = ""
        self._socket: socket | None = None

    def send(self, hints: Iterable[Hint]) -> list[Hint]:
        """Send the hints, and return those whose client's process is proven gone."""
        by_client: dict[str, list[Hint]] = {}
        for hint in hints:
            by_client.setdefault(client_of(hint.owner), []).append(hint)
        gone: list[Hint] = []
        for client, theirs in by_client.items():
            if is_client(client) and self._refused(client, theirs):
                gone += theirs
        return gone

    def close(self) -> None:
        """Close the sending socket."""
        with self._mutex:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _refused(self, client: str, hints: list[Hint]) -> bool:
        try:
            with self._mutex:
                sender = self._opened()
                for data in pack(hints):
                    sender.sendto(data, f"{self._folder}/{client}")
        except OSError as error:
            return error.errno == errno.ECONNREFUSED
        except BackendUnavailable:
            return False
        return False

    def _opened(self) -> socket:
        if self._socket is None:
            self._folder = short_path(hints_folder(self._path))
            self._socket = socket(AF_UNIX, SOCK_DGRAM)
            self._socket.setblocking(False)
        return self._socket
