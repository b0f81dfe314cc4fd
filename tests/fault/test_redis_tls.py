"""rediss://: the server is checked before it hears a password."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from concordant.drivers import registry
from concordant.errors import BackendUnavailable
from concordant.locking.names import new_client, owner_id
from concordant.locking.operations import Acquire, Granted, Queued, Release
from tests.provision.redis import RedisServer, free_port

pytestmark = pytest.mark.server

TTL_MS = 30_000


def certificate(folder: Path, name: str) -> Path:
    """Make a certificate for this host that signs itself; its key lies beside it."""
    path = folder / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=concordant test"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(folder / f"{name}.key"), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """The server's URL, without a word on whom to trust."""
    own, port = certificate(folder, "server"), free_port()
    tls = ["--tls-port", str(port), "--tls-auth-clients", "no"]
    files = ["--tls-cert-file", str(own), "--tls-key-file", str(folder / "server.key")]
    server = RedisServer(*tls, *files, password="right")
    server.start()
    yield f"rediss://:right@127.0.0.1:{port}/0?reply_timeout_s=2&connect_timeout_s=2"
    server.close()


def test_threads_lock_and_listen(url: str, folder: Path) -> None:
    holder, client = owner_id(new_client(), 1), new_client()
    waiter = owner_id(client, 1)
    with closing(registry.lock_store(f"{url}&ca_file={folder}/server.pem")) as store:
        with closing(store.hints(client)) as stream:
            [granted] = store.apply([Acquire("a", holder, TTL_MS)])
            assert isinstance(granted, Granted)
            [queued] = store.apply([Acquire("a", waiter, TTL_MS, wait=True)])
            assert isinstance(queued, Queued)
            store.apply([Release("a", holder, granted.fence)])
            [hint] = stream.get(10)
            assert hint.owner == waiter
            assert stream.get(0.05) == []


async def test_tasks_lock(url: str, folder: Path) -> None:
    store = registry.async_lock_store(f"{url}&ca_file={folder}/server.pem")
    [granted] = await store.apply([Acquire("b", owner_id(new_client(), 1), TTL_MS)])
    assert isinstance(granted, Granted)
    await store.aclose()


async def test_a_server_that_nobody_vouches_for_is_not_talked_to(url: str, folder: Path) -> None:
    other = certificate(folder, "other")
    for whom in (url, f"{url}&ca_file={other}"):
        with closing(registry.lock_store(whom)) as store:
            with pytest.raises(BackendUnavailable, match="certificate"):
                store.apply([])
            with pytest.raises(BackendUnavailable, match="certificate"):
                store.hints(new_client())
        tasks = registry.async_lock_store(whom)
        with pytest.raises(BackendUnavailable, match="certificate"):
            await tasks.apply([])
        await tasks.aclose()


def test_a_name_that_is_not_the_servers_is_not_talked_to(url: str, folder: Path) -> None:
    named = url.replace("127.0.0.1", "localhost")
    with closing(registry.lock_store(f"{named}&ca_file={folder}/server.pem")) as store:
        with pytest.raises(BackendUnavailable, match="certificate"):
            store.apply([])
