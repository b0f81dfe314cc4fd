"""What a postgresql:// URL says, parsed once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from concordant.drivers.urls import mask
from concordant.errors import UsageError

_CONNECT_S: Final = 5
_SECONDS: Final = {"reply_timeout_s": 5.0, "lock_timeout_s": 5.0}


@dataclass(frozen=True, slots=True)
class PostgresOptions:
    """Where the database is, and how long to wait for it.

    Two parameters are concordant's own, all others libpq's: `reply_timeout_s` (5) bounds the
    wait for each reply of the server to a request of ours, `lock_timeout_s` (5) a branch's
    wait for rows that others have locked.
    """

    conninfo: str = field(repr=False)
    place: str = ""
    reply_timeout_s: float = 5.0
    lock_timeout_s: float = 5.0

    @classmethod
    def parse(cls, url: str) -> PostgresOptions:
        """Return the options that the URL spells; raises UsageError for any other."""
        parts = urlsplit(url)
        seconds = dict(_SECONDS)
        libpq: list[tuple[str, str]] = []
        for key, value in parse_qsl(parts.query, keep_blank_values=True):
            if key in _SECONDS:
                seconds[key] = _positive(url, key, value)
            else:
                libpq.append((key, value))
        plain = urlunsplit(parts._replace(scheme="postgresql", query=urlencode(libpq)))
        try:
            given = conninfo_to_dict(plain)
        except ProgrammingError:
            # libpq's message may repeat what was typed, a password included.
            raise UsageError(f"{mask(url)} is not a URL that libpq understands") from None
        conninfo = make_conninfo(
            plain,
            connect_timeout=str(given.get("connect_timeout", _CONNECT_S)),
            application_name=str(given.get("application_name", "concordant")),
        )
        return cls(conninfo, mask(url), seconds["reply_timeout_s"], seconds["lock_timeout_s"])


def _positive(url: str, key: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not 0.05 <= number <= 3600:
        raise UsageError(f"{mask(url)}: {key} is 0.05 to 3600 seconds")
    return number
