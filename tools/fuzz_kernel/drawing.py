"""What the targets draw, and how they compare."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from random import Random
from typing import Any

from concordant.errors import UsageError
from concordant.placement import Node
from concordant.placement.kernel import native
from concordant.placement.tables.lookup import Lookup

MASK = (1 << 64) - 1
NODES = tuple(Node(f"node-{number:05}") for number in range(300))
REFUSALS = (ValueError, TypeError, BufferError, OverflowError, MemoryError, RuntimeError, OSError)


def position(random: Random) -> int:
    """Draw a position; the ends, and where others are, more often than chance has it."""
    kind = random.randrange(5)
    if kind == 0:
        return random.randrange(10)
    if kind == 1:
        return MASK - random.randrange(10)
    if kind == 2:
        return ((random.randrange(64) << 58) + random.randrange(40)) & MASK
    return random.getrandbits(64)


def text(random: Random) -> str:
    """Draw a text of any alphabet, with a length near a border of the hash, often."""
    size = random.choice((random.randrange(5), random.randrange(40), random.randrange(200)))
    top = random.choice((0x7F, 0x7F, 0xFF, 0xD7FF, 0x10FFFF))
    made = "".join(chr(random.randint(1, top)) for _ in range(size))
    return made.encode("utf-8", "ignore").decode("utf-8")


def keys(random: Random, count: int) -> list[Any]:
    """Draw keys of every kind that is taken."""
    same = random.randrange(40) if random.random() < 0.4 else None

    def key() -> Any:
        if same is not None and random.random() < 0.97:
            return f"{random.getrandbits(40 * 4):040x}"[:same]
        kind = random.randrange(6)
        made = text(random)
        if kind == 0:
            return random.randbytes(random.randrange(70))
        if kind == 1:
            return random.getrandbits(random.choice((3, 64, 200))) - 4
        if kind == 2:
            return bytearray(made.encode())
        if kind == 3:
            return memoryview(made.encode())
        return made

    return [key() for _ in range(count)]


def table(random: Random, most: int = 400) -> tuple[Any, Any, Any, tuple[Node, ...]]:
    """Draw a table of points as a look-up takes it: spread, crowded, tied or empty."""
    size = random.choice((0, 1, 2, random.randrange(30), random.randrange(most)))
    nodes = NODES[: random.choice((1, 2, 3, random.randint(1, 300))) if size else 0]
    crowd = position(random)
    kind = random.randrange(4)

    def drawn() -> int:
        if kind == 0:
            return random.getrandbits(64)
        if kind == 1:
            return crowd + random.randrange(1 << random.choice((1, 8, 30, 50))) & MASK
        return position(random)

    positions = array("Q", sorted(drawn() for _ in range(size)))
    owners = array("I", [random.randrange(len(nodes)) for _ in range(size)])
    return positions, owners, array("i", range(len(nodes))), nodes


def lookups(tables: tuple[Any, ...]) -> tuple[Any, Any]:
    """Return the look-up in Python and the one in C."""
    both: tuple[Any, Any] = Lookup(), native.Lookup()
    for each in both:
        each._arm(*tables)
    return both


def outcome(ask: Callable[[], Any], refusals: tuple[type[Exception], ...] = (UsageError,)) -> Any:
    """Return the answer, or that it was refused."""
    try:
        return ask()
    except refusals:
        return UsageError


def survives(ask: Callable[[], Any]) -> Any:
    """Ask something whose answer may be a refusal of any kind, but no crash."""
    return outcome(ask, REFUSALS)


def wrong(random: Random, right: Any) -> Any:
    """Draw an argument like the right one, but mostly not right."""
    kind = random.randrange(9)
    if kind == 0:
        return right
    if kind == 1 and isinstance(right, array):
        return right[: random.randrange(len(right) + 1)]
    if kind == 2 and isinstance(right, array):
        changed = array(right.typecode, right)
        top = (1 << (8 * changed.itemsize - (1 if right.typecode == "i" else 0))) - 1
        for _ in range(min(len(changed), random.randrange(3))):
            changed[random.randrange(len(changed))] = random.choice(
                (0, 1, top, random.randint(0, top), random.randrange(len(changed) + 2))
            )
        return changed
    if kind == 3:
        return random.randbytes(random.randrange(40))
    if kind == 4:
        return array(random.choice("bBhHiIqQfd"), [1] * random.randrange(9))
    if kind == 5:
        return memoryview(bytes(random.randrange(64)))[random.randrange(3) :: random.randint(1, 3)]
    return random.choice((None, 0, -1, "text", b"", (), [], {}, 1.5, object(), Node("a")))


def overwrite(random: Random, given: list[Any]) -> None:
    """Write to arrays that a look-up was given: they stay Python's."""
    for part in given:
        if isinstance(part, array) and part.typecode in "iIqQ":
            top = random.choice((3, 300, 1 << 8 * part.itemsize - 1))
            for at in range(len(part)):
                part[at] = random.randrange(top)
