"""The Redis backend: one private server a test process, a prefix of its own a URL."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from itertools import count
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from concordant.drivers.capabilities import Fencing
from tests.provision.backend import Backend, Promises

_ATTEMPTS = 20
_READY_S = 10.0
_numbers = count()


class RedisServer:
    """A server on a port and in a directory of its own, which dies with this process.

    `settings` are further arguments of redis-server. A `password` is the default user's.
    """

    def __init__(self, *settings: str, password: str = "") -> None:
        if shutil.which("redis-server") is None:
            raise RuntimeError("redis-server is missing: run `make servers`")
        self._settings = settings
        self._password = password
        self._home = Path(tempfile.mkdtemp(prefix="concordant-redis-"))
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    def start(self) -> None:
        """Start the server and wait until it answers; the first time on a port that is free."""
        for _ in range(_ATTEMPTS):
            port = self.port or free_port()
            if self._started(port):
                self.port = port
                return
            if not self.port:
                continue
            time.sleep(0.05)  # the port of its predecessor may take a moment to be free
        raise RuntimeError((self._home / "log").read_text())

    def _started(self, port: int) -> bool:
        command = ["setpriv", "--pdeathsig", "KILL", "redis-server", "--port", str(port)]
        command += ["--bind", "127.0.0.1", "--dir", str(self._home), "--save", ""]
        command += ["--appendonly", "yes", "--appendfsync", "always", *self._settings]
        if self._password:
            command += ["--requirepass", self._password]
        with (self._home / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, process_group=0)
        end_s = time.monotonic() + _READY_S
        while time.monotonic() < end_s:
            if process.poll() is not None:
                return False
            try:
                with closing(self.plain(port)) as plain:
                    # Somebody else's server on this port has another process id.
                    if plain.info("server")["process_id"] == process.pid:
                        self.process = process
                        return True
            except RedisError:
                pass
            time.sleep(0.005)
        process.kill()
        process.wait()
        return False

    def plain(self, port: int = 0) -> Redis:
        """Return a plain client of the server, which knows nothing of concordant."""
        return Redis(
            host="127.0.0.1",
            port=port or self.port,
            password=self._password or None,
            socket_timeout=5,
        )

    def stop(self) -> None:
        """Let the process stand still, as a machine without a CPU to spare does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Kill the server and start it again on the same data and port."""
        self.kill()
        self.start()

    def url(self, prefix: str = "") -> str:
        """Return the URL of a lock store without any locks."""
        prefix = prefix or f"t{os.getpid()}-{next(_numbers)}:"
        login = f":{self._password}@" if self._password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0?prefix={prefix}"

    def close(self) -> None:
        """End the server and delete its data."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self._home, ignore_errors=True)


def free_port() -> int:
    """Return a port that nobody listens on, outside of what the kernel hands out."""
    while True:
        port = random.SystemRandom().randrange(20000, 30000)
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


_server: RedisServer | None = None


def server() -> RedisServer:
    """Return this process's server, started at the first call."""
    global _server
    if _server is None:
        _server = RedisServer()
        _server.start()
    return _server


def _fresh(_tmp: Path) -> str:
    return server().url()


REDIS = Backend(
    name="redis",
    promises=Promises(
        fencing=Fencing.BEST_EFFORT,
        survives_restart=True,
        across_processes=True,
        across_hosts=True,
        detects_dead_waiters=True,
    ),
    lock_url=_fresh,
    restart=lambda: server().restart(),
    needs_server=True,
)
