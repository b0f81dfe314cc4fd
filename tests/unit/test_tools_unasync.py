"""The generator of the sync trees: each rule by example, and the committed trees are current."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from tools import unasync

PAIR = [("src/pkg/aio", "src/pkg/sync")]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    source = tmp_path / "src/pkg/aio"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text('"""The async surface."""\n')
    (source / "lock.py").write_text("async def take(lock):\n    return await lock.acquire()\n")
    return tmp_path


def problems(root: Path) -> list[tuple[str, str]]:
    return [(found.path, found.problem) for found in unasync.differences(root, PAIR)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("AsyncClient", "Client"),
        ("_AsyncWaiter", "_Waiter"),
        ("AsyncIterator", "Iterator"),
        ("AsyncExitStack", "ExitStack"),
        ("AbstractAsyncContextManager", "AbstractContextManager"),
        ("StopAsyncIteration", "StopIteration"),
        ("asynccontextmanager", "contextmanager"),
        ("aclose", "close"),
        ("enter_async_context", "enter_context"),
        ("async_lock_store", "lock_store"),
        ("_async_probe", "_probe"),
        ("test_aio_client", "test_sync_client"),
        ("aio", "sync"),
        ("__aenter__", "__enter__"),
        ("__aexit__", "__exit__"),
        ("__aiter__", "__iter__"),
        ("__anext__", "__next__"),
    ],
)
def test_names_take_their_sync_spelling(written: str, expected: str) -> None:
    assert unasync.rename(written) == expected


@pytest.mark.parametrize("name", ["asyncio", "is_async", "Async", "async_", "await_all", "closed"])
def test_names_that_only_look_alike_stay(name: str) -> None:
    assert unasync.rename(name) == name


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("async def f(): pass", "def f(): pass"),
        ("async  with a as b, c: pass", "with a as b, c: pass"),
        ("async for x in y: pass", "for x in y: pass"),
        ("z = [await x async for x in y if await x.ok()]", "z = [x for x in y if x.ok()]"),
        ("return (await f(await g())).value", "return (f(g())).value"),
        ("x = await(f())", "x = (f())"),
        ("from concordant.aio import lock", "from concordant.sync import lock"),
        ("from concordant._bridge.aio import Wait", "from concordant._bridge.sync import Wait"),
        ("f: Callable[[int], Awaitable[dict[str, int]]]", "f: Callable[[int], dict[str, int]]"),
        ("f: Awaitable[AsyncLease | None]", "f: Lease | None"),
        ('f: Awaitable[Literal["]]"]]', 'f: Literal["]]"]'),
        ("from collections.abc import Awaitable", "from collections.abc import Awaitable"),
        ("ä = 'ü'\nawait ä", "ä = 'ü'\nä"),
    ],
)
def test_code_is_converted(written: str, expected: str) -> None:
    assert unasync.convert(written + "\n") == expected + "\n"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("'''Return an AsyncClient.'''", "'''Return a Client.'''"),
        ("'''An ``AsyncLock``.'''", "'''A ``Lock``.'''"),
        ("'''An asynchronous lock.'''", "'''A synchronous lock.'''"),
        ("'''Use ``async with await open_it()``.'''", "'''Use ``with open_it()``.'''"),
        ("'''See concordant.aio.lock.'''", "'''See concordant.sync.lock.'''"),
        ("x = 'src/concordant/aio/lock.py'", "x = 'src/concordant/sync/lock.py'"),
        ("f'{await x} {await y.z(1)!r:>{await w}}'", "f'{x} {y.z(1)!r:>{w}}'"),
        ("f'{{literal}} {a}' 'AsyncClient'", "f'{{literal}} {a}' 'Client'"),
        ("x = 1  # AsyncClient.aclose was called", "x = 1  # Client.close was called"),
        ("x = 1  # All others await the reply.", "x = 1  # All others await the reply."),
        ("'''In async code, by asyncio.'''", "'''In async code, by asyncio.'''"),
    ],
)
def test_strings_and_comments_are_converted(written: str, expected: str) -> None:
    assert unasync.convert(written + "\n") == expected + "\n"


def test_everything_else_is_kept_as_written() -> None:
    source = textwrap.dedent(
        '''
        """Doc."""   # odd   spacing


        def f ( a,b ) :
        \tif a \\
            and b :   # why
        \t    return { "k" :1 }
        '''
    )
    assert unasync.convert(source) == source


def test_a_method_keeps_its_meaning() -> None:
    source = textwrap.dedent(
        """
        class AsyncLock:
            async def __aenter__(self) -> AsyncLease:
                async with self._mutex, AsyncExitStack() as stack:
                    await stack.enter_async_context(
                        self._client.lock(),
                    )
                return await self.acquire()
        """
    )
    expected = textwrap.dedent(
        """
        class Lock:
            def __enter__(self) -> Lease:
                with self._mutex, ExitStack() as stack:
                    stack.enter_context(
                        self._client.lock(),
                    )
                return self.acquire()
        """
    )
    assert unasync.convert(source) == expected
    ast.parse(expected)


def test_files_are_written_once_and_then_current(tree: Path) -> None:
    assert problems(tree) == [
        ("src/pkg/sync/__init__.py", "is missing"),
        ("src/pkg/sync/lock.py", "is missing"),
    ]
    assert unasync.mend(tree, unasync.differences(tree, PAIR)) == []
    assert problems(tree) == []
    text = (tree / "src/pkg/sync/lock.py").read_text()
    assert text.splitlines() == [
        "# Generated from src/pkg/aio/lock.py by tools/unasync.py; do not edit.",
        "def take(lock):",
        "    return lock.acquire()",
    ]


def test_folders_and_file_names_are_renamed(tree: Path) -> None:
    folder = tree / "src/pkg/aio/aio_parts"
    folder.mkdir()
    (folder / "test_aio_lock.py").write_text("x = 1\n")
    assert "src/pkg/sync/sync_parts/test_sync_lock.py" in unasync.generate(tree, PAIR)


def test_imports_are_sorted_anew_and_unused_ones_go(tree: Path) -> None:
    (tree / "src/pkg/aio/lock.py").write_text(
        "from collections.abc import Awaitable, Callable\n"
        "from concordant.errors import Late, AsyncEarly\n\n"
        "f: Callable[[Late], Awaitable[AsyncEarly]]\n"
    )
    text = unasync.generate(tree, PAIR)["src/pkg/sync/lock.py"]
    assert text.splitlines()[1:] == [
        "from collections.abc import Callable",
        "",
        "from concordant.errors import Early, Late",
        "",
        "f: Callable[[Late], Early]",
    ]


def test_an_edited_file_is_found_and_mended(tree: Path) -> None:
    unasync.mend(tree, unasync.differences(tree, PAIR))
    target = tree / "src/pkg/sync/lock.py"
    target.write_text(target.read_text() + "\n# by hand\n")
    assert problems(tree) == [("src/pkg/sync/lock.py", "is out of date")]
    unasync.mend(tree, unasync.differences(tree, PAIR))
    assert problems(tree) == []


def test_a_stale_file_is_found_and_removed(tree: Path) -> None:
    unasync.mend(tree, unasync.differences(tree, PAIR))
    (tree / "src/pkg/aio/lock.py").unlink()
    assert problems(tree) == [("src/pkg/sync/lock.py", "has no source")]
    assert unasync.mend(tree, unasync.differences(tree, PAIR)) == []
    assert not (tree / "src/pkg/sync/lock.py").exists()


def test_a_file_written_by_hand_is_reported_and_never_removed(tree: Path) -> None:
    unasync.mend(tree, unasync.differences(tree, PAIR))
    by_hand = tree / "src/pkg/sync/extra.py"
    by_hand.write_text("x = 1\n")
    left = unasync.mend(tree, unasync.differences(tree, PAIR))
    assert [found.path for found in left] == ["src/pkg/sync/extra.py"]
    assert by_hand.exists()


def test_missing_sources_are_no_error(tmp_path: Path) -> None:
    assert unasync.main(["--check", "--root", str(tmp_path)]) == 0


def test_the_check_fails_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "src/concordant/aio/lock.py"
    source.parent.mkdir(parents=True)
    source.write_text("async def f():\n    pass\n")
    assert unasync.main(["--check", "--root", str(tmp_path)]) == 1
    assert "src/concordant/sync/lock.py: is missing" in capsys.readouterr().out
    assert not (tmp_path / "src/concordant/sync").exists()
    assert unasync.main(["--root", str(tmp_path)]) == 0
    assert unasync.main(["--check", "--root", str(tmp_path)]) == 0


@pytest.mark.slow
def test_the_committed_trees_are_current() -> None:
    found = unasync.differences(unasync.ROOT)
    assert [f"{one.path} {one.problem}" for one in found] == []
