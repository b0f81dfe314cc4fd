"""What may be a key, and the bytes by which it is placed."""

from __future__ import annotations

from concordant.errors import UsageError

Key = str | bytes | bytearray | memoryview | int


def key_bytes(key: Key) -> bytes:
    """Return the bytes that stand for ``key`` in every placement.

    Text stands for its UTF-8, bytes-like objects for themselves, an int for its decimal ASCII:
    ``42``, ``"42"`` and ``b"42"`` are one key. Anything else, bool and lone surrogates included,
    raises UsageError rather than being placed by its repr.
    """
    if isinstance(key, str):
        try:
            return key.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(f"key {key!r} is not valid Unicode; pass its bytes instead") from None
    if isinstance(key, bytes):
        return key
    if isinstance(key, bytearray | memoryview):
        return bytes(key)
    return _decimal(key)


def _decimal(key: object) -> bytes:
    if not isinstance(key, int) or isinstance(key, bool):
        raise UsageError(
            f"a key of type {type(key).__name__} cannot be placed; pass str, bytes or int"
        )
    try:
        return b"%d" % key
    except ValueError:
        raise UsageError(
            f"an int of {key.bit_length()} bits is too long for a key; pass its bytes"
        ) from None


def check_integer(value: object, what: str, low: int, high: int) -> int:
    """Return the value; raises UsageError unless it is an integer within the bounds."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(f"{what} must be an integer from {low} to {high}, not {value!r}")
    return value


def check_count(n: object, nodes: int) -> int:
    """Return n if it counts some of so many nodes; raises UsageError otherwise."""
    return check_integer(n, "n (at most the number of nodes)", 0, nodes)
