"""Keys: their hashes, in lists that may change, and in columns of memory."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import numpy as np

from concordant.errors import UsageError
from concordant.placement.hashing.xxh64 import xxh64_pure
from concordant.placement.kernel import native
from tools.fuzz_kernel.drawing import keys, lookups, outcome, survives, table, text


def hashes(random: Random) -> None:
    """Hash bytes of any length, wherever in memory they begin."""
    for _ in range(20):
        data = random.randbytes(random.choice((random.randrange(70), random.randrange(400))))
        skip = random.randrange(9)
        assert native.xxh64(memoryview(bytes(skip) + data)[skip:]) == xxh64_pure(data), data


class Meddler(bytearray):
    """A key whose bytes, when they are asked for, come with a change of the list."""

    def __init__(self, random: Random, held: list[Any]) -> None:
        super().__init__(b"meddler")
        self.random, self.held = random, held

    def __bytes__(self) -> bytes:
        kind = self.random.randrange(6)
        if kind == 0:
            self.held.clear()
        elif kind == 1:
            self.held.append("more")
        elif kind == 2 and self.held:
            self.held[self.random.randrange(len(self.held))] = "x" * self.random.randrange(50)
        elif kind == 3:
            self.held[:] = [b"other"] * len(self.held)
        elif kind == 4:
            raise UsageError("no bytes today")
        return b"meddler"


def batches(random: Random) -> None:
    """Place lists, tuples and generators, some with what is no key and some that change."""
    tables = table(random)
    one, other = lookups(tables)
    asked = keys(random, random.choice((0, 1, 5, 31, 32, 33, random.randrange(200))))
    if asked and random.random() < 0.3:
        no_key = random.choice((None, 1.5, True, "\ud800", object()))
        asked.insert(random.randrange(len(asked)), no_key)
    expected = outcome(lambda: one.index_many(asked))
    for form in (list, tuple, iter):
        assert outcome(partial(other.index_many, form(asked))) == expected
    assert outcome(lambda: other.node_many(asked)) == outcome(lambda: one.node_many(asked))
    held = list(asked)
    for _ in range(random.randrange(1, 4)):
        held.insert(random.randrange(len(held) + 1), Meddler(random, held))
    survives(lambda: other.index_many(held))
    survives(lambda: other.index_many(random.choice((7, None, "text", b"text", {1: 2}, object()))))


def columns(random: Random) -> None:
    """Place arrays of text of one width, with gaps, turned round and of either byte order."""
    tables = table(random)
    one, other = lookups(tables)
    texts = [text(random) for _ in range(random.randrange(80))]
    if random.random() < 0.5:
        column: Any = np.array(texts, dtype=str)
    else:
        column = np.array([each.encode() for each in texts], dtype=bytes)
    column = random.choice(
        (
            column,
            column[random.randrange(4) :],
            column[:: random.choice((-1, 2, 3))],
            column.astype(column.dtype.newbyteorder()),
            column.astype(object),
        )
    )
    if column.dtype.kind == "U" and tables[0] and random.random() < 0.3:
        # Numbers that are no characters, which NumPy does not look at.
        column = column.astype(column.dtype.newbyteorder("="))
        numbers = np.ascontiguousarray(column).view(np.uint32)
        if len(numbers):
            numbers[random.randrange(len(numbers))] = random.choice((0xD800, 0x110000, 2**32 - 1))
            survives(lambda: other.index_many(numbers.view(column.dtype)))
            return
    expected = outcome(lambda: one.index_many(column.tolist()))
    assert outcome(lambda: other.index_many(column)) == expected
