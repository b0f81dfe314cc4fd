"""A PostgreSQL server of the crash tests' own, to be killed and put back to an older state."""

from __future__ import annotations

import shutil
import signal
import subprocess
from contextlib import closing

import psycopg

from tests.crash.harness import PATIENCE_S
from tests.provision.postgres import PostgresServer


class Victim(PostgresServer):
    """A server whose data can be saved as a whole, and put back as a restored backup is."""

    def __init__(self) -> None:
        # Small, since all of it is copied.
        super().__init__("min_wal_size=32MB", "max_wal_size=64MB")
        self._last = ""

    @property
    def running(self) -> bool:
        """Whether nobody has killed it, or it was started again."""
        return self.process is not None and self.process.poll() is None

    def save(self) -> None:
        """End the server in good order, keep a copy of all its data, and start it again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE_S)
        self._copy("data", "saved")
        self.start()

    def put_back(self) -> None:
        """Kill the server, and start it on what was saved: all that came later never was."""
        self.kill()
        self._copy("saved", "data")
        # Starts again until the last processes of the killed one have left their memory.
        self.restart()

    def participant_url(self) -> str:
        """Return the URL of a new database, on which nobody waits for long for a locked row.

        The one before it goes: a server of few databases is soon copied.
        """
        with closing(psycopg.connect(self.url("postgres"), autocommit=True)) as plain:
            if self._last and not plain.execute("SELECT 1 FROM pg_prepared_xacts").fetchone():
                plain.execute(f"DROP DATABASE {self._last} WITH (FORCE)")
        url = self.fresh()
        self._last = url.rpartition("/")[2]
        return f"{url}?lock_timeout_s=2"

    def _copy(self, source: str, target: str) -> None:
        shutil.rmtree(self._home / target, ignore_errors=True)
        command = ["cp", "-a", str(self._home / source), str(self._home / target)]
        # The home belongs to the user as whom the server runs.
        subprocess.run([*self._as_user(), *command], check=True, cwd="/")
