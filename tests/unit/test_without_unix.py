"""What works where there is no flock, no fork, no poll and no Unix socket, as on Windows."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Seconds of processes, waits or examples: more than daily use waits for.
pytestmark = pytest.mark.slow

# Python's own modules first: it is not they that are tested here.
_HIDE = """
import asyncio, concurrent.futures, os, select, signal, socket, sqlite3, subprocess, sys
import tempfile, threading
for name in ("fcntl", "grp", "pwd", "resource", "syslog", "termios", "tty"):
    sys.modules[name] = None
for module, names in (
    (os, "fork getuid getgid getpgrp killpg register_at_fork setsid waitid uname"),
    (select, "poll"),
    (signal, "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGQUIT SIGSTOP SIGTSTP pthread_sigmask"),
    (socket, "AF_UNIX"),
):
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
def socketpair():
    listener = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    listener.close()
    return near, far
socket.socketpair = socketpair
import builtins
real_open = builtins.open
def no_boot_id(file, *args, **kwargs):
    if str(file).startswith("/proc/"):
        raise FileNotFoundError(file)
    return real_open(file, *args, **kwargs)
builtins.open = no_boot_id
"""


def run(code: str, *arguments: str) -> str:
    """Run code in a Python that has nothing of Unix; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", _HIDE + code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_can_be_imported_and_keys_placed() -> None:
    said = run(
        "from concordant import AsyncClient, AsyncCoordinator, Client, Coordinator\n"
        "from concordant import HashRing, Node, Saga\n"
        "ring = HashRing([Node('a'), Node('b')])\n"
        "print(HashRing.from_json(ring.to_json()).node('key').id == ring.node('key').id)\n"
    )
    assert said == "True\n"


def test_locks_and_sagas_in_memory_work() -> None:
    said = run(
        "from concordant import AsyncClient, Client, Coordinator, LockTimeout, Saga\n"
        "with Client('memory://m') as one, Client('memory://m') as two:\n"
        "    with one.lock('a') as lease:\n"
        "        try:\n"
        "            two.lock('a', timeout_s=0).acquire()\n"
        "        except LockTimeout:\n"
        "            print('held')\n"
        "    take = lambda: print('taken', two.lock('b').acquire().lost)\n"
        "    taker = threading.Thread(target=take)\n"
        "    lease = one.lock('b').acquire()\n"
        "    taker.start()\n"
        "    lease.release()\n"
        "    taker.join()\n"
        "async def main():\n"
        "    async with AsyncClient('memory://n') as client:\n"
        "        async with client.lock('a') as lease:\n"
        "            lease.check()\n"
        "            print('async')\n"
        "asyncio.run(main())\n"
        "saga = Saga('s')\n"
        "saga.step('one', lambda ctx: None, lambda ctx: None)\n"
        "with Coordinator('memory://log') as coordinator:\n"
        "    coordinator.register(saga)\n"
        "    print(coordinator.run(saga).state)\n"
    )
    assert said == "held\ntaken False\nasync\ncommitted\n"


PORTS = ("lock_store", "transaction_log", "participant", "barrier")
OPENERS = [f"{world}{port}" for port in PORTS for world in ("", "async_")]


@pytest.mark.parametrize("what", [*OPENERS, *(f"survey {port}" for port in PORTS)])
def test_files_are_refused_and_what_to_do_is_said(what: str) -> None:
    said = run(
        "from concordant.drivers import registry\n"
        "from concordant.errors import GuaranteeUnavailable\n"
        "name, *port = sys.argv[1].split()\n"
        "try:\n"
        "    getattr(registry, name)('sqlite:///./x.db', *port)\n"
        "except GuaranteeUnavailable as error:\n"
        "    print(error)\n",
        what,
    )
    for word in ("flock", "redis://", "postgresql://", "memory://", "WSL"):
        assert word in said


@pytest.mark.server
@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
def test_servers_do_without(scheme: str, request: pytest.FixtureRequest) -> None:
    """The drivers of servers use nothing but sockets; hints reach a waiter through them."""
    from tests.provision.backends import BACKENDS

    [backend] = [each for each in BACKENDS if each.name == scheme]
    assert backend.lock_url is not None
    said = run(
        "from concordant import Client\n"
        "with Client(sys.argv[1]) as one, Client(sys.argv[1]) as two:\n"
        "    lease = one.lock('b', ttl_s=30).acquire()\n"
        "    taken = []\n"
        "    def take():\n"
        "        with two.lock('b', ttl_s=30, timeout_s=50) as second:\n"
        "            taken.append(second.fence > lease.fence)\n"
        "    taker = threading.Thread(target=take)\n"
        "    taker.start()\n"
        "    while not one.inspect('b').waiters:\n"
        "        pass\n"
        "    lease.release()\n"
        "    taker.join()\n"
        "    print(taken)\n",
        backend.lock_url(request.getfixturevalue("tmp_path")),
    )
    assert said == "[True]\n"
