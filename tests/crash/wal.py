"""The write-ahead log of a SQLite file, and ways in which a crash may tear its end.

Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

_HEADER: Final = 32
_FRAME_HEADER: Final = 24

Damage = Callable[[bytearray, int, int], bytearray]


def copy_database(source: Path, target: Path) -> Path:
    """Copy a database that nobody has open, with its write-ahead log."""
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{source}{suffix}", f"{target}{suffix}")
    Path(f"{target}-shm").unlink(missing_ok=True)
    return target


def tear(database: Path, damage: Damage) -> None:
    """Damage what the last transaction wrote."""
    file = Path(f"{database}-wal")
    wal = bytearray(file.read_bytes())
    first, end = _last_transaction(wal)
    torn = damage(wal, first, end)
    assert torn != file.read_bytes(), "nothing was damaged"
    file.write_bytes(torn)


def _last_transaction(wal: bytearray) -> tuple[int, int]:
    """Return where the frames of the last transaction begin and end."""
    (page,) = struct.unpack_from(">I", wal, 8)
    size = _FRAME_HEADER + page
    salt = wal[16:24]
    commits = [_HEADER]
    at = _HEADER
    while at + size <= len(wal) and wal[at + 8 : at + 16] == salt:
        at += size
        # The last frame of a transaction says how large the database is after it.
        if struct.unpack_from(">I", wal, at - size + 4)[0]:
            commits.append(at)
    return commits[-2], commits[-1]


def cut_one_byte(wal: bytearray, first: int, end: int) -> bytearray:
    """Leave out the last byte."""
    return wal[: end - 1]


def cut_in_the_middle(wal: bytearray, first: int, end: int) -> bytearray:
    """Leave out the second half of what was written."""
    return wal[: (first + end) // 2]


def cut_all(wal: bytearray, first: int, end: int) -> bytearray:
    """Leave out all of it."""
    return wal[:first]


def flip_a_bit(wal: bytearray, first: int, end: int) -> bytearray:
    """Change one bit of its last page."""
    wal[end - 1] ^= 1
    return wal


def lose_a_sector(wal: bytearray, first: int, end: int) -> bytearray:
    """Leave 512 bytes in its midst as zeros, as a disk may that writes out of order."""
    middle = (first + end) // 2
    wal[middle : middle + 512] = bytes(512)
    return wal


DAMAGES: Final = (cut_one_byte, cut_in_the_middle, cut_all, flip_a_bit, lose_a_sector)
