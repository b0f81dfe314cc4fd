"""The order in which nodes get numbered buckets."""

from __future__ import annotations

import re
from collections.abc import Iterable

_DIGITS = re.compile("([0-9]+)")


def numbered(ids: Iterable[str]) -> list[str]:
    """Return the ids in order, numbers in them counting as numbers.

    So ``shard-10`` follows ``shard-9``, and a longer list of numbered nodes begins with the
    shorter one: made anew from it, buckets keep their numbers.
    """
    return sorted(ids, key=_parts)


def _parts(node_id: str) -> tuple[list[str | int], str]:
    # Text and numbers take turns, so like is compared with like. Ids that differ by zeros alone
    # are told apart by themselves.
    pieces = _DIGITS.split(node_id)
    return [int(each) if at % 2 else each for at, each in enumerate(pieces)], node_id
