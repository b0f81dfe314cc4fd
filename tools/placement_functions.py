"""Placements that are functions of the position, straight from their documented formats.

Nothing of the package is imported; ``tools/placement_vectors.py`` writes what these give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal, getcontext
from fractions import Fraction
from hashlib import sha256
from math import gcd
from typing import Any

from xxhash import xxh64_intdigest

SPACE = 1 << 64
getcontext().prec = 60

Weights = dict[str, float]

KEYS: list[str | int] = [
    *("", "a", "key", "42", "007", "user:1000", "grüße", "キー", "🔑", "a\0b", "x" * 300),
    *(f"account-{number}" for number in range(12)),
    *(0, -1, 7, 9007199254740991, 18446744073709551615),
]


def positions() -> list[int]:
    """Return where the keys fall."""
    return [xxh64_intdigest(str(key).encode()) for key in KEYS]


def units(weight: float) -> int:
    """Return a weight in millionths, at least one."""
    return max(1, round(weight * 1000000))


def mix(number: int) -> int:
    """Return the finaliser of SplitMix64."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        number = (number ^ number >> shift) * factor % SPACE
    return number ^ number >> 31


def drawn(seed: int, number: int) -> int:
    """Return a number of the stream of SplitMix64."""
    return mix((seed + 0x9E3779B97F4A7C15 * (number + 1)) % SPACE)


def opposite(position: int) -> int:
    """Return a position with all bits turned."""
    return SPACE - 1 - position


def digested(*parts: bytes) -> str:
    """Return the fingerprint of what is no table."""
    told = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    return sha256(b"concordant-placement/1\0" + told).hexdigest()[:32]


def log_table() -> list[int]:
    """Return log2(1 + i / 1024) in units of 2**-48, rounded down."""
    two = Decimal(2).ln()
    return [int((1 + Decimal(at) / 1024).ln() / two * (1 << 48)) for at in range(1024)] + [1 << 48]


LOGS = log_table()


def distance(number: int) -> int:
    """Return -log2((number + 1) / 2**64) in units of 2**-48, between two logarithms."""
    octave = 63
    while number + 1 < 1 << octave:
        octave -= 1
    if number + 1 == SPACE:
        return 0
    place = Fraction((number + 1) * 1024, 1 << octave) - 1024
    index = int(place)
    rise = (LOGS[index + 1] - LOGS[index]) * (place - index)
    return ((64 - octave) << 48) - LOGS[index] - int(rise)


def rendezvous(name: str, weights: Weights) -> dict[str, Any]:
    """Order nodes by the quotient of distance and weight, or by number where all weigh alike."""
    alike = len({units(weight) for weight in weights.values()}) == 1
    parts = [units(weights[each]) for each in sorted(weights)]
    common = gcd(*parts)

    def preferred(position: int) -> list[str]:
        numbers = {each: mix(position ^ xxh64_intdigest(each.encode())) for each in weights}
        return sorted(
            weights,
            key=lambda each: (
                0 if alike else Fraction(distance(numbers[each]), units(weights[each])),
                -numbers[each],
                each.encode(),
            ),
        )

    ids = [each.encode() for each in sorted(weights)]
    told = [b"%d" % (each // common) for each in parts]
    return {
        "name": name,
        "nodes": weights,
        "state": {},
        "lists": places(weights, [preferred(position) for position in positions()]),
        "fingerprint": digested(b"rendezvous", b"xxh64", *ids, *told),
    }


def tried(position: int, count: int, found: Callable[[int], int], left: list[int]) -> list[int]:
    """Return all buckets that are left, by further and further positions."""
    buckets = [found(position)]
    seed = mix(opposite(position))
    buckets += [found(drawn(opposite(seed), attempt)) for attempt in range(1, 8 * count)]
    return list(dict.fromkeys([*buckets, *left]))


def jump(name: str, buckets: list[str]) -> dict[str, Any]:
    """Follow the jumps, as the paper has them."""

    def found(position: int) -> int:
        bucket, following = -1, 0
        while following < len(buckets):
            bucket = following
            position = (position * 2862933555777941757 + 1) % SPACE
            following = int((bucket + 1) * (2147483648.0 / ((position >> 33) + 1)))
        return bucket

    count = len(buckets)
    lists = [tried(each, count, found, list(range(count))) for each in positions()]
    return {
        "name": name,
        "nodes": dict.fromkeys(sorted(buckets), 1.0),
        "state": {"buckets": buckets},
        "lists": places(buckets, [[buckets[each] for each in tries] for tries in lists]),
        "fingerprint": digested(b"jump", b"xxh64", *(each.encode() for each in buckets)),
    }


def jump_back(position: int, count: int) -> int:
    """Return the bucket of a position among so many, octave by octave."""
    first = drawn(position, 0)
    jumps = (first ^ first >> 32) % (1 << 32)
    octaves = [octave for octave in range((count - 1).bit_length()) if jumps >> octave & 1]
    while octaves:
        low = 1 << octaves[-1]
        half = first >> 32 if len(octaves) % 2 else first
        for bucket in (low + half % low, *_halves(position, 2 * low)):
            if bucket < low:
                break
            if bucket < count:
                return bucket
        octaves.pop()
    return 0


def _halves(position: int, values: int) -> Iterator[int]:
    for number in range(1, 200):
        yield drawn(position, number) % values
        yield (drawn(position, number) >> 32) % values


def memento(name: str, ids: list[str], changes: list[str]) -> dict[str, Any]:
    """Remember what the numbers of the buckets meant behind each removal ('-id'; '+id' adds)."""
    buckets: list[str | None] = [*ids]
    removed: list[int] = []
    for change in changes:
        node_id = change[1:]
        if change[0] == "+":
            buckets = [*buckets, None] if not removed else buckets
            buckets[removed.pop() if removed else -1] = node_id
        elif not removed and buckets[-1] == node_id:
            buckets.pop()
        else:
            removed.append(buckets.index(node_id))
            buckets[removed[-1]] = None
    meaning, meanings = list(range(len(buckets))), {}
    for bucket in removed:
        last = meaning.pop()
        if last != bucket:
            meaning[meaning.index(bucket)] = last
        meanings[bucket] = list(meaning)

    def found(position: int) -> int:
        bucket = jump_back(position, len(buckets))
        while bucket in meanings:
            left = meanings[bucket]
            bucket = left[drawn(mix(opposite(position)), bucket) * len(left) >> 64]
        return bucket

    left = [bucket for bucket, each in enumerate(buckets) if each is not None]
    tries = [tried(position, len(left), found, left) for position in positions()]
    nodes = sorted(each for each in buckets if each is not None)
    parts = [*((each or "").encode() for each in buckets), b"", *(b"%d" % each for each in removed)]
    return {
        "name": name,
        "nodes": dict.fromkeys(sorted(ids), 1.0),
        "changes": changes,
        "state": {"buckets": buckets, "removed": removed},
        "lists": places(nodes, [[str(buckets[each]) for each in one] for one in tries]),
        "fingerprint": digested(b"memento", b"xxh64", *parts),
    }


def places(ids: Weights | list[str], lists: list[list[str]]) -> list[list[int]]:
    """Return lists of ids as places among the ids."""
    ordered = sorted(ids)
    return [[ordered.index(each) for each in one] for one in lists]
