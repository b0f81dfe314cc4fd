"""Hints by Unix datagram: packing, deep folders, stale sockets and streams that broke."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from concordant.drivers.sqlite.hints import Sender, hints_folder, pack, unpack
from concordant.drivers.sqlite.listening import SocketStream, sweep
from concordant.errors import BackendUnavailable, UsageError
from concordant.locking.limits import NAME_BYTES_MAX
from concordant.locking.names import new_client, owner_id
from concordant.locking.operations import Hint


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "locks.db"
    file.touch()
    return str(file)


@pytest.fixture
def sender(path: str) -> Iterator[Sender]:
    with closing(Sender(path)) as opened:
        yield opened


def hint_for(client: str, name: str = "a", fence: int = 7) -> Hint:
    return Hint(name, owner_id(client, 1), fence)


# --- packing ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "ü" * (NAME_BYTES_MAX // 2), '"' * NAME_BYTES_MAX])
@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_what_is_packed_comes_out_in_order_and_fits(name: str, count: int) -> None:
    client = new_client()
    hints = [hint_for(client, name, 2**53 - 1 - number) for number in range(count)]
    packed = list(pack(hints))
    assert [hint for data in packed for hint in unpack(data)] == hints
    assert all(len(data) <= 2048 for data in packed)
    if len(name) == 1 and count == 300:
        assert len(packed) < 10  # a queue of ten takes them all


@pytest.mark.parametrize("data", [b"", b"x", b"[1]", b'{"a": 1}', b"[[1,2]]", b"\xff\xfe", b"null"])
def test_what_is_not_ours_is_no_hint(data: bytes) -> None:
    assert unpack(data) == []


# --- sending ------------------------------------------------------------------------------


def test_a_hint_arrives_at_its_client_alone(path: str, sender: Sender) -> None:
    told, other = new_client(), new_client()
    with closing(SocketStream(path, told)) as here, closing(SocketStream(path, other)) as there:
        assert sender.send([hint_for(told)]) == []
        assert here.get(10.0) == [hint_for(told)]
        assert there.get(0.0) == []


def test_only_a_socket_that_nobody_has_open_proves_death(path: str, sender: Sender) -> None:
    dead, deaf = new_client(), new_client()
    with closing(SocketStream(path, dead)):
        os.link(f"{hints_folder(path)}/{dead}", f"{hints_folder(path)}/kept")
    os.rename(f"{hints_folder(path)}/kept", f"{hints_folder(path)}/{dead}")
    hints = [hint_for(dead, "a"), hint_for(deaf), hint_for(dead, "b")]
    assert sender.send(hints) == [hints[0], hints[2]]


def test_a_strange_owner_leads_to_no_path(path: str, sender: Sender) -> None:
    below = f"{hints_folder(path)}/below"
    os.makedirs(below)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outside:
        outside.bind(f"{below}/socket")
        outside.setblocking(False)
        assert sender.send([Hint("a", "below/socket", 1), Hint("a", "", 1)]) == []
        with pytest.raises(BlockingIOError):
            outside.recv(100)


def test_a_stream_wants_a_client_id(path: str) -> None:
    with pytest.raises(UsageError, match="client id"):
        SocketStream(path, "../../etc/passwd")


# --- deep folders -------------------------------------------------------------------------


@pytest.fixture
def deep(tmp_path: Path) -> str:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    (folder / "locks.db").touch()
    return str(folder / "locks.db")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # Short, since the way round a long path must be short itself.
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        yield Path(short)


def test_a_path_too_long_for_a_socket_is_no_obstacle(deep: str, temporary: Path) -> None:
    client = new_client()
    with closing(SocketStream(deep, client)) as stream, closing(Sender(deep)) as sender:
        assert os.listdir(hints_folder(deep)) == [client]
        assert sender.send([hint_for(client)]) == []
        assert stream.get(10.0) == [hint_for(client)]
    assert os.listdir(hints_folder(deep)) == []
    [private] = temporary.iterdir()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_somebody_elses_folder_is_not_used_as_a_short_cut(deep: str, temporary: Path) -> None:
    private = temporary / f"concordant-{os.getuid()}"
    private.mkdir()
    private.chmod(0o777)
    with pytest.raises(BackendUnavailable, match="mode 0700"):
        SocketStream(deep, new_client())
    # A sender drops the hint: the batch behind it is done.
    with closing(Sender(deep)) as sender:
        assert sender.send([hint_for(new_client())]) == []


def test_a_link_that_leads_elsewhere_is_not_followed(deep: str, temporary: Path) -> None:
    client = new_client()
    SocketStream(deep, client).close()
    [link] = (temporary / f"concordant-{os.getuid()}").iterdir()
    link.unlink()
    link.symlink_to("/tmp")
    with pytest.raises(BackendUnavailable, match="leads elsewhere"):
        SocketStream(deep, client)


# --- streams ------------------------------------------------------------------------------


def test_the_latest_stream_of_a_client_gets_its_hints(path: str, sender: Sender) -> None:
    client = new_client()
    old = SocketStream(path, client)
    with closing(SocketStream(path, client)) as new:
        sender.send([hint_for(client)])
        assert new.get(10.0) == [hint_for(client)]
        with pytest.raises(BackendUnavailable, match="removed"):
            old.get(0.0)
        old.close()
        # The old one's end does not take the name away.
        sender.send([hint_for(client, "b")])
        assert new.get(10.0) == [hint_for(client, "b")]


def test_a_socket_that_was_cleaned_away_is_noticed(path: str) -> None:
    client = new_client()
    with closing(SocketStream(path, client)) as stream:
        assert stream.get(0.0) == []
        os.unlink(f"{hints_folder(path)}/{client}")
        with pytest.raises(BackendUnavailable, match="removed"):
            stream.get(0.0)


def test_closing_from_several_threads_is_harmless(path: str) -> None:
    stream = SocketStream(path, new_client())
    ended: list[str] = []

    def listen() -> None:
        try:
            stream.get(30.0)
        except BackendUnavailable as error:
            ended.append(str(error))

    threads = [threading.Thread(target=listen)]
    threads += [threading.Thread(target=stream.close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(ended) == 1
    with pytest.raises(BackendUnavailable, match="closed"):
        stream.get(0.0)


def test_a_forked_childs_copy_leaves_the_parents_alone(path: str, sender: Sender) -> None:
    client = new_client()
    with closing(SocketStream(path, client)) as stream:
        child = os.fork()
        if child == 0:
            try:
                stream.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        sender.send([hint_for(client)])
        assert stream.get(10.0) == [hint_for(client)]
        assert stream.get(0.0) == []


def test_who_may_write_the_database_may_send(path: str) -> None:
    os.chmod(path, 0o660)
    client = new_client()
    with closing(SocketStream(path, client)):
        folder = Path(hints_folder(path))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o770
        assert stat.S_IMODE((folder / client).stat().st_mode) == 0o660


def test_sweeping_removes_what_is_old_and_proven_dead_alone(path: str, tmp_path: Path) -> None:
    alive, dead, fresh = new_client(), new_client(), new_client()
    folder = hints_folder(path)
    with closing(SocketStream(path, alive)):
        for client in (dead, fresh, "." + "0" * 16):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
                left.bind(f"{folder}/{client}")
        Path(folder, "notes.txt").touch()
        for name in (alive, dead, "." + "0" * 16, "notes.txt"):
            os.utime(f"{folder}/{name}", (1000, 1000))
        assert sweep(folder, 2000) == 2
        assert set(os.listdir(folder)) == {alive, fresh, "notes.txt"}


def test_opening_a_stream_sweeps_what_was_left_long_ago(path: str) -> None:
    dead = new_client()
    SocketStream(path, new_client()).close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        left.bind(f"{hints_folder(path)}/{dead}")
    client = new_client()
    with closing(SocketStream(path, client)):
        assert set(os.listdir(hints_folder(path))) == {client, dead}
    os.utime(f"{hints_folder(path)}/{dead}", (1000, 1000))
    with closing(SocketStream(path, client)):
        assert os.listdir(hints_folder(path)) == [client]
