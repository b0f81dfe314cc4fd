"""XXH64 in Python gives what the reference implementation gives."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh64_intdigest

from concordant.placement import HashRing, Node
from concordant.placement.hashing.xxh64 import key_bytes, xxh64_pure
from tests.placement_oracle import SPACE, key_at


@pytest.mark.parametrize("seed", [1, 2])
def test_every_length_up_to_300(seed: int) -> None:
    source = random.Random(seed)
    for size in range(301):
        data = source.randbytes(size)
        assert xxh64_pure(data) == xxh64_intdigest(data), size


@given(st.binary(max_size=2000))
def test_any_bytes(data: bytes) -> None:
    assert xxh64_pure(data) == xxh64_intdigest(data)


@given(st.integers(0, SPACE - 1))
def test_a_key_can_be_made_for_any_position(position: int) -> None:
    assert xxh64_pure(key_at(position)) == position


@given(st.text())
def test_text_is_its_utf8(text: str) -> None:
    ring = HashRing([Node(node_id) for node_id in "abc"])
    assert key_bytes(text) == text.encode()
    assert ring.node(text) is ring.node(bytearray(text.encode()))


@given(st.integers())
def test_an_int_is_its_decimal_text(number: int) -> None:
    assert key_bytes(number) == str(number).encode()
