"""A pooler in transaction mode before the PostgreSQL server of this test process."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.provision.postgres import _free_port, server

# How many sessions with the server all clients of one database share.
SESSIONS = 4

_CONFIG = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {home}/users
pool_mode = transaction
default_pool_size = {sessions}
server_idle_timeout = 5
ignore_startup_parameters = {ignored}
"""


class Pooler:
    """pgbouncer on a port of its own, which dies with this process.

    `ignored` are the startup parameters that it drops; others that it does not know it refuses.
    """

    def __init__(self, ignored: str = "extra_float_digits") -> None:
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        if not Path(program).exists():
            raise RuntimeError("pgbouncer is missing: run `make servers`")
        self._home = Path(tempfile.mkdtemp(prefix="concordant-pooler-"))
        self.port = _free_port()
        config = _CONFIG.format(
            server=server().port,
            port=self.port,
            home=self._home,
            ignored=ignored,
            sessions=SESSIONS,
        )
        (self._home / "config.ini").write_text(config)
        (self._home / "users").write_text('"postgres" ""\n')
        self._home.chmod(0o755)
        command = ["setpriv", "--pdeathsig", "KILL"]
        if os.getuid() == 0:  # it refuses to run as root
            command += ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, program, str(self._home / "config.ini")], stdout=log, stderr=log, cwd="/"
            )
        atexit.register(self.close)
        self._await()

    def _await(self) -> None:
        end_s = time.monotonic() + 10
        while True:
            try:
                psycopg.connect(self.through(server().url("postgres"))).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > end_s:
                    raise RuntimeError((self._home / "log").read_text()) from None
                time.sleep(0.02)

    def through(self, url: str) -> str:
        """Return the URL of the same database behind the pooler."""
        parts = urlsplit(url)
        return parts._replace(netloc=f"postgres@127.0.0.1:{self.port}").geturl()

    def close(self) -> None:
        """End it, and delete its files."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)
