"""What a postgresql:// URL says, parsed once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

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
    wait for each reply of the server, `lock_timeout_s` (5) the wait of a statement in a branch
    for rows that others have locked, which comes on top of it. A connection whose reply did
    not come in time is given up: whoever runs statements that take longer raises the first.
    """

    conninfo: str = field(repr=False)
    place: str = ""
    reply_timeout_s: float = 5.0
    lock_timeout_s: float = 5.0

    @property
    def branch_reply_s(self) -> float:
        """How long a reply may take where the server itself may wait for locks first."""
        return self.lock_timeout_s + self.reply_timeout_s

    def for_branches(self) -> PostgresOptions:
        """Return the options of connections whose statements wait for locks that long.

        From the start of the session, which RESET ALL comes back to: no branch has to set it.
        """
        given = str(conninfo_to_dict(self.conninfo).get("options", ""))
        lock_ms = round(self.lock_timeout_s * 1000)
        settings = f"{given} -c lock_timeout={lock_ms}".lstrip()
        return replace(self, conninfo=make_conninfo(self.conninfo, options=settings))

    @classmethod
    def parse(cls, url: str) -> PostgresOptions:
        """Return the options that the URL spells; raises UsageError for any other."""
        parts = urlsplit(url)
        seconds = dict(_SECONDS)
        libpq: list[tuple[str, str]] = []
        # To libpq a plus sign is a plus sign.
        query = parts.query.replace("+", "%2B")
        for key, value in parse_qsl(query, keep_blank_values=True):
            if key in _SECONDS:
                seconds[key] = _positive(url, key, value)
            else:
                libpq.append((key, value))
        # By hand, since urlunsplit drops the slashes before an empty host (a local socket).
        plain = f"postgresql://{parts.netloc}{parts.path}?{urlencode(libpq, quote_via=quote)}"
        try:
            given = conninfo_to_dict(plain)
        except ProgrammingError:
            # libpq's message may repeat what was typed, a password included.
            raise UsageError(f"{mask(url)} is not a URL that libpq understands") from None
        if "@" in str(given.get("host", "")):
            # Then libpq took the rest of a password for a host, and would name it in errors.
            raise UsageError(f"{mask(url)}: in a user or a password write @ as %40")
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
