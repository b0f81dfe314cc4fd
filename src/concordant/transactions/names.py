"""Global transaction ids, branch ids and the ids they are made of."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from typing import Final

from concordant.errors import UsageError

_GID: Final = re.compile(r"[A-Za-z0-9._-]{1,36}")
_BRANCH: Final = re.compile(
    r"(c[a-z0-9]{7})\.([a-z0-9]{8})-(\d{1,3})\.(\d{1,2})\.([A-Za-z0-9._-]{1,36})"
)
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
BRANCHES_MAX: Final = 64
EPOCH_MAX: Final = 999


def check_gid(gid: str) -> str:
    """Return the gid unchanged, or raise UsageError: 1 to 36 of ``[A-Za-z0-9._-]``."""
    if _GID.fullmatch(gid) is None:
        raise UsageError(f"a gid is 1 to 36 of [A-Za-z0-9._-], not {gid!r}")
    return gid


def new_gid() -> str:
    """Return a UUIDv7 (RFC 9562): 48 bits of milliseconds, then 74 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_log_id() -> str:
    """Return a fresh id for a transaction log: a `c` and seven random characters."""
    return "c" + "".join(secrets.choice(_ALPHABET) for _ in range(7))


def new_owner() -> str:
    """Return a fresh id for one coordinator process: eight random characters."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(8))


@dataclass(frozen=True, slots=True)
class BranchId:
    """The name under which a participant keeps a prepared branch.

    As text it is `LOG.OWNER-EPOCH.INDEX.GID`, at most 64 ASCII bytes, so that whoever finds
    the branch can tell whose it is: which log holds its decision, and which owner row says
    whether its coordinator lives. The index is the branch's place among those of its
    transaction, in the order of their resources' ids.
    """

    log_id: str
    owner: str
    epoch: int
    index: int
    gid: str

    def __str__(self) -> str:
        return f"{self.log_id}.{self.owner}-{self.epoch}.{self.index}.{self.gid}"

    @classmethod
    def parse(cls, text: str) -> BranchId | None:
        """Return the branch id that the text spells, or None if it is not one of ours."""
        match = _BRANCH.fullmatch(text)
        if match is None:
            return None
        log_id, owner, epoch, index, gid = match.groups()
        return cls(log_id, owner, int(epoch), int(index), gid)
