"""XXH64 and the bytes of keys."""

from __future__ import annotations

import os
import subprocess
import sys
from enum import Enum, IntEnum
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement.hashing.xxh64 import key_bytes, key_position, xxh64, xxh64_pure


@pytest.mark.parametrize("digest", [xxh64, xxh64_pure])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0xEF46DB3751D8E999),
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
    ],
)
def test_published_values(digest: Any, data: bytes, expected: int) -> None:
    assert digest(data) == expected


def test_without_the_xxhash_package_the_answers_are_the_same() -> None:
    script = (
        "import sys; sys.modules['xxhash'] = None; sys.modules['concordant._native'] = None\n"
        "from concordant.placement import HashRing, Node\n"
        "from concordant.placement.hashing import xxh64 as hashing\n"
        "assert hashing.xxh64 is hashing.xxh64_pure\n"
        "print(HashRing([Node('a'), Node('b', 2.0)]).fingerprint())"
    )
    with_package = script.replace("sys.modules['xxhash'] = None", "import xxhash").replace(
        " is hashing", " is not hashing"
    )
    assert _output_of(script) == _output_of(with_package)


def _output_of(script: str) -> str:
    env = {
        **os.environ,
        "CONCORDANT_KERNEL": "",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "key", ["schlüssel", "schlüssel".encode(), bytearray("schlüssel".encode())]
)
def test_text_and_its_bytes_are_one_key(key: Any) -> None:
    assert key_bytes(key) == b"schl\xc3\xbcssel"


def test_a_memoryview_is_its_bytes_even_with_gaps() -> None:
    assert key_bytes(memoryview(b"abcdef")) == b"abcdef"
    assert key_bytes(memoryview(b"abcdef")[::2]) == b"ace"


# Not StrEnum: str() of these two is the name of the member, which must not become the key.
class Color(str, Enum):  # noqa: UP042
    RED = "red"


class Code(int, Enum):
    OK = 200


class Plain(Enum):
    MEMBER = "a"


class Size(IntEnum):
    SMALL = 1


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (0, b"0"),
        (42, b"42"),
        (-7, b"-7"),
        (10**30, b"1" + b"0" * 30),
        (Color.RED, b"red"),
        (Size.SMALL, b"1"),
        (Code.OK, b"200"),
    ],
)
def test_ints_are_their_decimals_and_enums_their_values(key: Any, expected: bytes) -> None:
    assert key_bytes(key) == expected
    assert key_position(key) == xxh64(expected)


@pytest.mark.parametrize("key", [True, False, None, 1.0, 1j, ("a",), ["a"], object(), Plain.MEMBER])
def test_other_types_are_refused_rather_than_hashed_by_repr(key: Any) -> None:
    with pytest.raises(UsageError, match=type(key).__name__):
        key_bytes(key)


@pytest.mark.parametrize("key", ["a\ud800", pytest.param(10**5000, id="huge")])
def test_keys_without_bytes_are_refused(key: Any) -> None:
    with pytest.raises(UsageError, match="pass its bytes"):
        key_bytes(key)
