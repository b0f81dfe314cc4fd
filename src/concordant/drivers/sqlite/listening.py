"""The receiving end of hints: one client's socket, and the folder that it lies in."""

from __future__ import annotations

import os
import re
import secrets
import select
import socket
import threading
import time
from typing import Final

from concordant.drivers.sqlite.hints import hints_folder, unpack
from concordant.drivers.sqlite.shortcut import short_path
from concordant.errors import BackendUnavailable, UsageError
from concordant.locking.limits import WAITER_MS
from concordant.locking.names import is_client
from concordant.locking.operations import Hint

_RECEIVE_BYTES: Final = 64 * 1024
# A listener marks its socket as used this often.
_TOUCH_S: Final = 10.0
# A dead client's socket proves its death to those who grant to it, so it stays for longer
# than any waiter of that client can be in a queue.
_DEAD_KEPT_S: Final = 4 * WAITER_MS / 1000
_SWEPT_MAX: Final = 64
_OURS: Final = re.compile(r"[a-z0-9]{16}|\.[0-9a-f]{16}")


class SocketStream:
    """The hints of one client, received at its own socket; the latest stream gets them all."""

    def __init__(self, path: str, client: str) -> None:
        if not is_client(client):
            raise UsageError(f"a client id is 16 of [a-z0-9], not {client!r}")
        self._pid = os.getpid()
        self._reading = threading.Lock()
        self._closing = threading.Lock()
        self._closed = False
        self._inode = (0, 0)
        self._touched_s = time.monotonic()
        self._wake, self._waker = socket.socketpair()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            folder = make_folder(path)
            self._path = f"{folder}/{client}"
            self._bind(f"{folder}/.{secrets.token_hex(8)}", os.stat(path).st_mode & 0o777)
        except OSError as error:
            self._close_sockets()
            reason = error.strerror or str(error)
            raise BackendUnavailable(f"{path}: no socket for hints ({reason})") from error
        except BaseException:
            self._close_sockets()
            raise

    def get(self, timeout_s: float) -> list[Hint]:
        with self._reading:
            self._check_open()
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            poll.register(self._wake, select.POLLIN)
            poll.poll(max(0.0, timeout_s) * 1000)
            self._check_open()
            hints = self._receive()
            if not hints or time.monotonic() - self._touched_s > _TOUCH_S:
                self._touch()
            return hints

    def close(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
        if os.getpid() != self._pid:
            # A forked child's copy: name and wake-up belong to the parent.
            self._close_sockets()
            return
        self._waker.send(b"x")
        with self._reading:
            try:
                if self._is_ours():
                    os.unlink(self._path)
            except OSError:
                pass  # somebody cleaned up before us
            self._close_sockets()

    def _bind(self, temporary: str, mode: int) -> None:
        # Bound aside and moved into place: the name is never missing in between, and what
        # an earlier stream of this client left there is no obstacle.
        self._socket.bind(temporary)
        os.chmod(temporary, mode)  # whoever may write the database may send
        status = os.stat(temporary)
        self._inode = (status.st_dev, status.st_ino)
        os.replace(temporary, self._path)
        self._socket.setblocking(False)

    def _check_open(self) -> None:
        if self._closed:
            raise BackendUnavailable("the hint stream was closed; open another one")

    def _is_ours(self) -> bool:
        status = os.stat(self._path)
        return (status.st_dev, status.st_ino) == self._inode

    def _touch(self) -> None:
        """Mark the socket as used; raises BackendUnavailable if senders cannot find it."""
        try:
            if self._is_ours():
                os.utime(self._path)
                self._touched_s = time.monotonic()
                return
        except OSError:
            pass
        raise BackendUnavailable("the socket for hints was removed; open another stream")

    def _receive(self) -> list[Hint]:
        hints: list[Hint] = []
        while True:
            try:
                hints += unpack(self._socket.recv(_RECEIVE_BYTES))
            except BlockingIOError:
                return hints
            except OSError as error:
                raise BackendUnavailable(f"receiving hints failed: {error.strerror}") from error

    def _close_sockets(self) -> None:
        for one in (self._socket, self._wake, self._waker):
            one.close()


def make_folder(path: str) -> str:
    """Make the folder of a database's sockets, or clean it, and return a path for binding."""
    folder = hints_folder(path)
    mode = os.stat(path).st_mode & 0o777
    try:
        os.mkdir(folder, 0o700)
        # Whoever may read the database may look in, whoever may write it may add a socket.
        os.chmod(folder, 0o700 | mode | (mode & 0o444) >> 2)
    except FileExistsError:
        sweep(folder, time.time() - _DEAD_KEPT_S)
    return short_path(folder)


def sweep(folder: str, before_s: float) -> int:
    """Unlink sockets not used since a wall time whose processes are gone; return how many."""
    near = short_path(folder)
    count = 0
    with os.scandir(folder) as entries:
        old = [one.name for one in entries if _OURS.fullmatch(one.name) and _older(one, before_s)]
    for name in old[:_SWEPT_MAX]:
        if _is_dead(f"{near}/{name}"):
            try:
                os.unlink(f"{folder}/{name}")
                count += 1
            except OSError:
                pass  # another process swept it, or it is not ours to remove
    return count


def _older(entry: os.DirEntry[str], before_s: float) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_mtime < before_s
    except OSError:
        return False


def _is_dead(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False
