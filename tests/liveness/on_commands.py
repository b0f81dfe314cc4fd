"""How long it takes with the command line."""

from __future__ import annotations

import fcntl
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from concordant.drivers.urls import file_path
from tests.liveness.scene import Scene
from tests.provision.command_line import LOOP, TELL, Shell, alive, until

TTL_S = 2.0
# The options by which a driver would wait for far longer than a user is to.
_FOR_LONG = {
    "sqlite": "?wait_s=600",
    "redis": "?connect_timeout_s=600&reply_timeout_s=600",
    "postgresql": "?connect_timeout=600&reply_timeout_s=600",
}


@contextmanager
def _shell(scene: Scene) -> Iterator[Shell]:
    shell = Shell(scene.folder)
    try:
        yield shell
    finally:
        shell.end()


def unreachable(scene: Scene) -> float:
    """Start `lock run` on a backend that never answers; return how long until it ends with 69."""
    assert scene.backend is not None
    with ExitStack() as stack:
        if scene.backend.name == "sqlite":
            url = scene.lock_url()
            turn = stack.enter_context(open(f"{file_path(url)}.lock", "w"))
            fcntl.flock(turn, fcntl.LOCK_EX)
        else:
            # Somebody takes the connection, and never says a word.
            mute = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
            url = f"{scene.backend.name}://127.0.0.1:{mute.getsockname()[1]}/0"
        shell = stack.enter_context(_shell(scene))
        begun_s = time.monotonic()
        url += _FOR_LONG[scene.backend.name]
        done = shell.run("lock", "run", "a", "--url", url, "--", "touch", "ran")
        took_s = time.monotonic() - begun_s
        assert done.returncode == 69, done
        assert not (shell.folder / "ran").exists()
    return took_s


def command_ended(scene: Scene) -> float:
    """Kill `lock run`; return how long its command lives on that does not heed TERM."""
    with _shell(scene) as shell:
        script = "trap '' TERM; " + TELL + f"tell one $$; {LOOP}"
        arguments = ["--ttl", f"{TTL_S:g}", "--grace", "600", "--", "sh", "-c", script]
        keeper = shell.start("lock", "run", "a", *arguments)
        command = int(until(lambda: shell.written("one"), "the command runs"))
        killed_s = time.monotonic()
        keeper.kill()
        until(lambda: not alive(command), "the command was ended")
        return time.monotonic() - killed_s
