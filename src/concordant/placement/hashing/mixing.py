"""Pseudo-random numbers that follow from a position, the same on every platform.

The stream and its mixing function are SplitMix64 (Steele, Lea, Flood, 2014), whose constants
are the variant 13 of Stafford's: each output depends on every bit of seed and number.
"""

from __future__ import annotations

MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15


def mix(value: int) -> int:
    """Return 64 bits that each bit of ``value`` may have turned; a bijection."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK
    return value ^ value >> 31


def drawn(seed: int, number: int) -> int:
    """Return the output with this number, from 0 on, of the stream of ``seed``."""
    return mix(seed + GAMMA * (number + 1) & MASK)


def other_seed(position: int) -> int:
    """Return the seed of a second stream of a position, unlike the stream of the position."""
    return mix(position ^ MASK)


def again(position: int, attempt: int) -> int:
    """Return the position to try next: attempt 0 is the position itself.

    Functions that name one node for a position name further ones so, for replicas.
    """
    return drawn(other_seed(position) ^ MASK, attempt) if attempt else position
