"""The rules of the house: each finds what is planted for it, and this repository keeps them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools import tidy

Rule = Callable[[Path], Iterator[tidy.Problem]]


def plant(root: Path, *written: tuple[str, str]) -> Path:
    """Write files below a small package that keeps every rule, and return its root."""
    base = [
        ("src/concordant/__init__.py", "from concordant.errors import ConcordantError\n"),
        ("src/concordant/errors.py", "class ConcordantError(Exception): ...\n"),
        ("src/concordant/drivers/__init__.py", ""),
        ("src/concordant/drivers/base.py", "from concordant.errors import ConcordantError\n"),
        ("src/concordant/drivers/redis/__init__.py", "import redis\n"),
        ("src/concordant/drivers/redis/guard.py", "x = 1\n"),
        ("src/concordant/drivers/sqlite/__init__.py", "import sqlite3\n"),
    ]
    for path, text in (*base, *written):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def lines(rule: Rule, root: Path) -> list[str]:
    return [str(problem) for problem in rule(root)]


def test_a_tidy_tree_has_no_problems(tmp_path: Path) -> None:
    assert tidy.problems(plant(tmp_path)) == []


@pytest.mark.parametrize(
    ("path", "line", "complaint"),
    [
        ("placement/ring.py", "from concordant.drivers.base import x", "concordant.drivers.base"),
        ("placement/ring.py", "from concordant.drivers import base", "concordant.drivers.base"),
        ("placement/ring.py", "from ..drivers import base", "concordant.drivers.base"),
        ("placement/ring.py", "import concordant.aio.client", "concordant.aio.client"),
        ("locking/model.py", "from concordant import ConcordantError", "concordant"),
        ("errors.py", "from concordant.locking import names", "concordant.locking"),
        ("drivers/redis/locks.py", "from concordant.aio import client", "concordant.aio"),
        ("drivers/redis/locks.py", "from concordant.drivers import sqlite", "drivers.sqlite"),
        ("drivers/redis/locks.py", "import concordant.session.lease", "session.lease"),
        ("drivers/registry.py", "import concordant.drivers.redis", "concordant.drivers.redis"),
        ("drivers/registry.py", "def f():\n from . import redis", "concordant.drivers.redis"),
        ("aio/client.py", "from concordant.drivers.redis import guard", "drivers.redis"),
        ("aio/client.py", "from concordant.sync import client", "concordant.sync"),
        ("aio/client.py", "from concordant._bridge.sync import Wait", "_bridge.sync"),
        ("sync/client.py", "from concordant._bridge.aio import Wait", "_bridge.aio"),
        ("session/lease.py", "from concordant.aio import client", "concordant.aio"),
        ("cli/main.py", "import concordant.session", "concordant.session"),
        ("cli/main.py", "import concordant.drivers.redis", "concordant.drivers.redis"),
        ("__init__.py", "from concordant.cli import main", "concordant.cli"),
        ("attic/old.py", "import os", "attic has no place in the plan"),
    ],
)
def test_an_import_against_the_plan_is_found(
    tmp_path: Path, path: str, line: str, complaint: str
) -> None:
    found = lines(tidy.check_imports, plant(tmp_path, (f"src/concordant/{path}", f"{line}\n")))
    assert len(found) == 1
    assert found[0].startswith(f"src/concordant/{path}:")
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("placement/plan.py", "from concordant.locking import names"),
        ("drivers/redis/locks.py", "from . import guard"),
        ("drivers/redis/locks.py", "from concordant.drivers.redis.guard import x"),
        ("drivers/registry.py", "from concordant.drivers.base import LockStore"),
        ("aio/client.py", "from concordant._bridge.aio import Wait"),
        ("aio/client.py", "from concordant.drivers import base"),
        ("cli/main.py", "from concordant import Client"),
        ("bank/shard.py", "from concordant.drivers.redis.guard import x"),
        ("cli/main.py", "import click"),
        ("integrations/django.py", "import django"),
        ("placement/hashing.py", "def f():\n from xxhash import xxh64"),
    ],
)
def test_an_import_of_the_plan_passes(tmp_path: Path, path: str, line: str) -> None:
    root = plant(tmp_path, (f"src/concordant/{path}", f"{line}\n"))
    assert lines(tidy.check_imports, root) == []


@pytest.mark.parametrize(
    ("path", "line", "complaint"),
    [
        ("aio/client.py", "import redis.asyncio", "may not import redis,"),
        ("drivers/sqlite/locks.py", "import psycopg", "may not import psycopg,"),
        ("locking/model.py", "def f():\n    import msgpack", "may not import msgpack,"),
        ("placement/ring.py", "def f():\n    import xxhash", "may not import xxhash,"),
        ("placement/hashing.py", "import xxhash", "xxhash is optional"),
    ],
)
def test_a_third_party_import_out_of_its_place_is_found(
    tmp_path: Path, path: str, line: str, complaint: str
) -> None:
    found = lines(tidy.check_imports, plant(tmp_path, (f"src/concordant/{path}", f"{line}\n")))
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize("path", ["src/concordant/a.py", "src/concordant/a.lua", "tools/a.py"])
def test_a_long_file_is_found(tmp_path: Path, path: str) -> None:
    assert lines(tidy.check_file_sizes, plant(tmp_path, (path, "\n" * 400))) == []
    found = lines(tidy.check_file_sizes, plant(tmp_path, (path, "\n" * 401)))
    assert found == [f"{path}:401: 401 lines; at most 400 are one purpose"]


@pytest.mark.parametrize("path", ["src/concordant/a.py", "tests/unit/test_a.py", "bench/a.py"])
@pytest.mark.parametrize("start", ["def f():", "async def f():"])
def test_a_long_function_is_found(tmp_path: Path, path: str, start: str) -> None:
    body = "\n    x = 1"
    assert lines(tidy.check_function_sizes, plant(tmp_path, (path, start + body * 69))) == []
    found = lines(tidy.check_function_sizes, plant(tmp_path, (path, start + body * 70)))
    assert found == [f"{path}:1: f has 71 lines; at most 70"]


@pytest.mark.parametrize(
    "word",
    [
        "TO" + "DO: later",
        "FIX" + "ME",
        "XX" + "X",
        "raise NotImplemented" + "Error",
        ".." + "/shared/notes",
        "see ." + "library/x",
        "cd /wo" + "rk/main",
        "--index" + "-url=x",
        "find" + "-links",
        "https://host/sim" + "ple/x",
        '"resol' + 'ved": "https://host/x.tgz"',
    ],
)
@pytest.mark.parametrize("path", ["README.md", "tests/x.py", "src/concordant/drivers/x.lua"])
def test_a_forbidden_word_is_found_in_any_text(tmp_path: Path, path: str, word: str) -> None:
    found = lines(tidy.check_words, plant(tmp_path, (path, f"one\n-- {word}\n")))
    assert len(found) == 1
    assert found[0].startswith(f"{path}:2: ")


def test_words_that_only_look_alike_pass_and_binary_files_are_no_text(tmp_path: Path) -> None:
    alike = "XXH64 mktemp.XXXXXX self." + "library home" + "work/a https://example.org/p/x\n"
    plant(tmp_path, ("a.md", alike))
    (tmp_path / "a.png").write_bytes(b"\xff\xfe TO" + b"DO")
    assert lines(tidy.check_words, tmp_path) == []


def test_git_decides_which_files_count(tmp_path: Path) -> None:
    plant(tmp_path, (".gitignore", "cache/\n"), ("cache/a.txt", "FIX" + "ME\n"))
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert lines(tidy.check_words, tmp_path) == []
    plant(tmp_path, ("untracked.txt", "FIX" + "ME\n"))
    assert [problem.path for problem in tidy.check_words(tmp_path)] == ["untracked.txt"]
    # Listed by git, but deleted: no file to read.
    subprocess.run(["git", "add", "untracked.txt"], cwd=tmp_path, check=True)
    (tmp_path / "untracked.txt").unlink()
    assert lines(tidy.check_words, tmp_path) == []


def test_an_empty_room_is_found(tmp_path: Path) -> None:
    root = plant(tmp_path, ("src/concordant/aio/__init__.py", '"""Later."""\n'))
    (root / "src/concordant/cli").mkdir()
    assert lines(tidy.check_rooms, root) == [
        "src/concordant/aio:1: is an empty room; it comes with its first file",
        "src/concordant/cli:1: has no __init__.py, so it would not be installed",
    ]


@pytest.mark.slow
def test_this_repository_is_tidy() -> None:
    assert [str(problem) for problem in tidy.problems(tidy.ROOT)] == []
