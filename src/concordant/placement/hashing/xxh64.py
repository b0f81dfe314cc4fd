"""XXH64 with seed 0.

Written from the XXH64 specification of Yann Collet (xxHash, doc/xxhash_spec.md). The kernel in C
and the ``xxhash`` package do the same work faster; all give the same numbers, so two processes
agree whatever they have.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from concordant.placement.kernel import native
from concordant.placement.keys import Key, key_bytes

_PRIME_1 = 0x9E3779B185EBCA87
_PRIME_2 = 0xC2B2AE3D27D4EB4F
_PRIME_3 = 0x165667B19E3779F9
_PRIME_4 = 0x85EBCA77C2B2AE63
_PRIME_5 = 0x27D4EB2F165667C5
_MASK = (1 << 64) - 1
_STRIPE_BYTES = 32


def xxh64_pure(data: bytes) -> int:
    """Return the XXH64 of ``data`` with seed 0, computed in Python alone."""
    size = len(data)
    striped = size - size % _STRIPE_BYTES
    acc = _hash_stripes(data, striped) if striped else _PRIME_5
    acc = _hash_tail(acc + size & _MASK, data[striped:])
    return _avalanche(acc)


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK


def _round(acc: int, lane: int) -> int:
    return _rotate(acc + lane * _PRIME_2 & _MASK, 31) * _PRIME_1 & _MASK


def _hash_stripes(data: bytes, striped: int) -> int:
    a, b, c, d = _PRIME_1 + _PRIME_2 & _MASK, _PRIME_2, 0, -_PRIME_1 & _MASK
    for lane_1, lane_2, lane_3, lane_4 in struct.iter_unpack("<4Q", data[:striped]):
        a, b = _round(a, lane_1), _round(b, lane_2)
        c, d = _round(c, lane_3), _round(d, lane_4)
    acc = _rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18) & _MASK
    for lane in (a, b, c, d):
        acc = (acc ^ _round(0, lane)) * _PRIME_1 + _PRIME_4 & _MASK
    return acc


def _hash_tail(acc: int, tail: bytes) -> int:
    offset = 0
    while offset + 8 <= len(tail):
        (lane,) = struct.unpack_from("<Q", tail, offset)
        acc = _rotate(acc ^ _round(0, lane), 27) * _PRIME_1 + _PRIME_4 & _MASK
        offset += 8
    if offset + 4 <= len(tail):
        (half_lane,) = struct.unpack_from("<I", tail, offset)
        acc = _rotate(acc ^ half_lane * _PRIME_1 & _MASK, 23) * _PRIME_2 + _PRIME_3 & _MASK
        offset += 4
    for byte in tail[offset:]:
        acc = _rotate(acc ^ byte * _PRIME_5 & _MASK, 11) * _PRIME_1 & _MASK
    return acc


def _avalanche(acc: int) -> int:
    acc = (acc ^ acc >> 33) * _PRIME_2 & _MASK
    acc = (acc ^ acc >> 29) * _PRIME_3 & _MASK
    return acc ^ acc >> 32


def _fastest() -> Callable[[bytes], int]:
    if native is not None:
        kernel: Callable[[bytes], int] = native.xxh64
        return kernel
    try:
        from xxhash import xxh64_intdigest
    except ImportError:
        return xxh64_pure
    return xxh64_intdigest


# Bound, not wrapped: every look-up would pay for the wrapper.
xxh64: Callable[[bytes], int] = _fastest()


def key_position(key: Key) -> int:
    """Return where ``key`` falls in the hash space, from 0 up to but not including 2**64."""
    if type(key) is str:
        try:
            return xxh64(key.encode())
        except UnicodeEncodeError:
            pass  # refused below, by the words for it
    return xxh64(key_bytes(key))
