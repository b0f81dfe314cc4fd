"""Keys of ``concordant ring``: arguments, files and stdin, whatever is in them."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from concordant.cli.ring import keys as reading
from concordant.cli.ring import ring
from concordant.errors import UsageError
from concordant.placement import HashRing, Node
from tests.provision.command_line import CONCORDANT

NODES = ["--node", "a", "--node", "b"]
RING = HashRing([Node("a"), Node("b")])


def invoke(*arguments: str, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(ring, arguments, input=stdin)


def located(*arguments: str, stdin: str | bytes = "") -> list[str]:
    """Return the keys that are located, after finding that their owners are right."""
    result = invoke("locate", *NODES, *arguments, "-o", "json", stdin=stdin)
    assert result.exception is None, result.exception
    rows = json.loads(result.stdout)["keys"]
    assert [row["node"] for row in rows] == [RING.node(row["key"]).id for row in rows]
    return [row["key"] for row in rows]


def refusal(*arguments: str, stdin: str | bytes = "") -> str:
    result = invoke("locate", *NODES, *arguments, stdin=stdin)
    assert isinstance(result.exception, UsageError), result
    return str(result.exception)


def written(folder: Path, data: bytes) -> str:
    path = folder / "keys"
    path.write_bytes(data)
    return str(path)


def test_arguments_files_and_stdin_come_in_their_order(tmp_path: Path) -> None:
    path = written(tmp_path, b"f1\nf2\n")
    assert located("x", "--keys", path, "--keys", "-", "y", stdin="s1\n") == [
        *("x", "y"),
        *("f1", "f2"),
        "s1",
    ]
    assert located("--keys", path, stdin="not read\n") == ["f1", "f2"]
    assert located("x", stdin="not read\n") == ["x"]


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\rb\n\r\n", ["a\rb", ""]),
        (b"a\r", ["a"]),
        (b" a \r\n\tb\n", [" a ", "\tb"]),
        (b"a\n\n b \t\n", ["a", "", " b \t"]),
        (b"a\x0bb\x1cc\xc2\x85d\xe2\x80\xa8e\n", ["a\x0bb\x1cc\x85d\u2028e"]),
        (b"\0\n", ["\0"]),
    ],
)
@pytest.mark.parametrize("block", [1, 3, 1 << 18])
def test_a_key_is_a_line_exactly(
    data: bytes, keys: list[str], block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    assert located("--keys", written(tmp_path, data)) == keys
    assert located(stdin=data) == keys


@pytest.mark.parametrize("block", [1, 7, 1 << 18])
def test_a_line_that_is_no_text_is_named(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    assert refusal(stdin=b"ok\nfine\n\xff\nok\n").startswith("line 3 of stdin is not UTF-8")
    assert refusal(stdin=b"ok\n\xc3").startswith("line 2 of stdin is not UTF-8")


def test_garbage_ends_with_one_line_of_error(tmp_path: Path) -> None:
    path = written(tmp_path, os.urandom(100_000) + b"\xff")
    done = subprocess.run(
        [CONCORDANT, "ring", "locate", *NODES, "--keys", path], capture_output=True
    )
    assert done.returncode == 64
    assert done.stderr.startswith(b"concordant: line 1 of ")
    assert done.stderr.count(b"\n") == 1


def test_what_has_no_lines_is_not_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert located(stdin=b"x" * (1 << 20)) == ["x" * (1 << 20)]
    assert "line 1 of stdin is longer than 1 MiB" in refusal(stdin=b"x" * ((1 << 20) + 1))
    assert "line 3 of stdin" in refusal(stdin=b"a\nb\n" + b"x" * 3_000_000)
    with open("/dev/zero", "rb") as endless:
        done = subprocess.run(
            [CONCORDANT, "ring", "locate", *NODES], stdin=endless, capture_output=True, timeout=30
        )
    assert done.returncode == 64


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    result = invoke("locate", *NODES, "k", "--keys", str(tmp_path / "none"), "-o", "json")
    assert "No such file" in str(result.exception)
    assert result.stdout == ""
    assert "directory" in refusal("--keys", str(tmp_path))


def test_arguments_that_are_no_text() -> None:
    done = subprocess.run([CONCORDANT, "ring", "locate", *NODES, b"\xff"], capture_output=True)
    assert done.returncode == 64
    assert b"not valid Unicode" in done.stderr


def test_keys_are_read_in_batches() -> None:
    numbers = "".join(f"{number}\n" for number in range(100_000)).encode()
    sizes: list[int] = []

    class Stream:
        def __init__(self) -> None:
            self.left = numbers

        def read1(self, size: int) -> bytes:
            chunk, self.left = self.left[:size], self.left[size:]
            return chunk

    lines: list[str] = []
    for batch in reading._lines(Stream(), "a stream", sizes.append):
        assert len(batch) < 60_000
        lines += batch
    assert lines == [str(number) for number in range(100_000)]
    assert sum(sizes) == len(numbers)


def test_answers_come_as_keys_are_typed() -> None:
    with subprocess.Popen(
        [CONCORDANT, "ring", "locate", *NODES], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for key in ("one", "two"):
            process.stdin.write(f"{key}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline() == f"{key}\t{RING.node(key).id}\n".encode()
        process.stdin.close()


# --- the progress bar ---------------------------------------------------------------------


@contextmanager
def terminal() -> Iterator[tuple[int, list[bytes]]]:
    """Yield the end of a terminal to write to, and what it shows, complete afterwards."""
    ours, theirs = pty.openpty()
    seen: list[bytes] = []

    def watch() -> None:
        # Where the last writer has gone Linux reports an error, others the end.
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 1 << 16):
                seen.append(chunk)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield theirs, seen
    finally:
        os.close(theirs)
        watcher.join(30)
        os.close(ours)


def on_terminal(*arguments: str, **streams: Any) -> tuple[bytes, bytes]:
    """Return stdout, and what a terminal on stderr has shown."""
    with terminal() as (stderr, seen):
        done = subprocess.run(
            [CONCORDANT, "ring", *arguments],
            stdout=streams.pop("stdout", subprocess.PIPE),
            stderr=stderr,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
            timeout=60,
            **streams,
        )
        assert done.returncode == 0
    return done.stdout or b"", b"".join(seen)


@pytest.fixture
def long(tmp_path: Path) -> str:
    """Return a file of so many keys that one would like to know how far they are."""
    return written(tmp_path, b"".join(b"user:%09d\n" % number for number in range(400_000)))


def test_a_long_input_has_a_bar_and_a_clean_stdout(long: str) -> None:
    stdout, stderr = on_terminal("locate", *NODES, "--keys", long)
    assert b"keys" in stderr
    assert b"MB" in stderr
    assert stdout.count(b"\n") == 400_000
    assert b"\x1b" not in stdout
    with open(long, "rb") as keys:
        stdout, stderr = on_terminal("balance", *NODES, "--keys", "-", "-o", "json", stdin=keys)
    assert json.loads(stdout)["keys"] == 400_000
    assert b"keys" in stderr


def test_a_short_input_has_no_bar(tmp_path: Path) -> None:
    path = written(tmp_path, b"a\nb\n")
    stdout, stderr = on_terminal("locate", *NODES, "--keys", path)
    assert (stdout.count(b"\n"), stderr) == (2, b"")


def test_owners_on_a_terminal_are_not_mixed_with_a_bar(long: str) -> None:
    with terminal() as (stdout, seen):
        arguments = [CONCORDANT, "ring", "locate", *NODES, "--keys", long]
        done = subprocess.run(arguments, stdout=stdout, stderr=stdout, timeout=60)
    shown = b"".join(seen)
    assert done.returncode == 0
    assert shown.count(b"\r\n") == 400_000
    assert b"\x1b" not in shown


def test_without_a_terminal_there_is_no_bar(long: str) -> None:
    done = subprocess.run(
        [CONCORDANT, "ring", "balance", *NODES, "--keys", long], capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    file.write_bytes(b"\xef\xbb\xbfuser:1\r\n\xef\xbb\xbfuser:2\n")
    assert located("--keys", str(file)) == ["user:1", "\ufeffuser:2"]
