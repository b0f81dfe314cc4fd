"""Bounds of the lock model, each with its reason; every driver uses these same numbers."""

from __future__ import annotations

from typing import Final

# A grant handed to a waiter in another process must be confirmed within this time. It bounds
# how long a waiter that died or was stopped at the head of the queue can hold up the rest.
CONFIRM_MS: Final = 2_000

# A waiter that has not asked again for this long is taken for dead and leaves the queue.
WAITER_MS: Final = 30_000

# Hints may be lost, so waiters ask again: the nearer the head, the sooner. Position 0 asks
# after one step, position n after n + 1 steps, nobody later than the maximum. A step is
# shorter than CONFIRM_MS by a slow round trip: so the head whose hint was lost finds its
# grant still there, however soon after its last question it was granted.
RETRY_STEP_MS: Final = 1_500
RETRY_MAX_MS: Final = 10_000

# How long a cancelled owner is remembered whose Acquire may still be on its way.
TOMBSTONE_MS: Final = 60_000
TOMBSTONES_MAX: Final = 256

TTL_MIN_MS: Final = 50
TTL_MAX_MS: Final = 7 * 24 * 3600 * 1000
CAPACITY_MAX: Final = 1_000_000
NAME_BYTES_MAX: Final = 512
NOTE_BYTES_MAX: Final = 512
BATCH_MAX: Final = 256

# Fences travel through Lua and JSON, whose numbers are doubles: exact below 2**53.
FENCE_MAX: Final = 2**53 - 1
