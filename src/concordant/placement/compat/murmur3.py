"""MurmurHash3, the variant of 32 bits (Austin Appleby, 2011), in steps that can be taken apart.

Many strings with one beginning are hashed faster when the beginning is hashed once: ``absorb``
takes the whole blocks of 4 bytes, ``finish`` what is left behind them.
"""

from __future__ import annotations

import struct

BLOCK_BYTES = 4

_MASK = (1 << 32) - 1
_C_1 = 0xCC9E2D51
_C_2 = 0x1B873593


def murmur3_32(data: bytes, seed: int = 0) -> int:
    """Return the MurmurHash3 of ``data`` in 32 bits."""
    whole = len(data) - len(data) % BLOCK_BYTES
    return finish(absorb(seed & _MASK, data[:whole]), data[whole:], len(data))


def absorb(state: int, blocks: bytes) -> int:
    """Return the state after ``blocks``, whose length is a multiple of 4; it begins as the seed."""
    for (block,) in struct.iter_unpack("<I", blocks):
        # As in _scrambled; a call for each block would double the time of a look-up.
        block = block * _C_1 & _MASK
        state ^= (block << 15 | block >> 17) * _C_2 & _MASK
        state = (state << 13 | state >> 19) & _MASK
        state = state * 5 + 0xE6546B64 & _MASK
    return state


def finish(state: int, tail: bytes, size: int) -> int:
    """Return the hash of ``size`` bytes in all, of which the last 0 to 3 are the ``tail``."""
    if tail:
        state ^= _scrambled(int.from_bytes(tail, "little"))
    state ^= size & _MASK
    state = (state ^ state >> 16) * 0x85EBCA6B & _MASK
    state = (state ^ state >> 13) * 0xC2B2AE35 & _MASK
    return state ^ state >> 16


def _scrambled(block: int) -> int:
    block = block * _C_1 & _MASK
    return (block << 15 | block >> 17) * _C_2 & _MASK
