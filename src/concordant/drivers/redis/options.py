"""What a redis:// or rediss:// URL says, parsed once."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from concordant.drivers.urls import mask, parameters, scheme_of
from concordant.errors import UsageError

_SECONDS: Final = {"connect_timeout_s": 3.0, "reply_timeout_s": 5.0}
_SECONDS_MIN: Final = 0.05
_SECONDS_MAX: Final = 600.0
_PARAMETERS: Final = frozenset({*_SECONDS, "prefix", "ca_file"})
_PREFIX_BYTES_MAX: Final = 128
_PORT: Final = 6379


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """Where the server is, how to log in, and how long to wait for it.

    `prefix` begins every key and channel (``concordant:``). `connect_timeout_s` (3) bounds
    the making of a connection, `reply_timeout_s` (5) the wait for a reply. `ca_file` names
    the certificates that a rediss:// server is checked against, instead of the system's.
    `place` is the URL without credentials.
    """

    host: str = "localhost"
    port: int = _PORT
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca_file: str = ""
    prefix: str = "concordant:"
    connect_timeout_s: float = 3.0
    reply_timeout_s: float = 5.0
    place: str = "redis://localhost"

    @classmethod
    def parse(cls, url: str) -> RedisOptions:
        """Return the options that the URL spells; raises UsageError for any other."""
        found = parameters(url, _PARAMETERS)
        parts = urlsplit(url)
        tls = scheme_of(url) == "rediss"
        if "ca_file" in found and not tls:
            raise UsageError(f"{mask(url)}: ca_file is for rediss://")
        if parts.fragment:
            raise UsageError(f"{mask(url)}: a Redis URL has no #fragment; write # as %23")
        ca_file = found.get("ca_file", "")
        return cls(
            host=unquote(parts.hostname or "localhost"),
            port=parts.port or _PORT,
            db=_database(url, parts.path),
            username=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            tls=tls,
            ca_file=os.path.abspath(ca_file) if ca_file else "",
            prefix=_prefix(url, found.get("prefix", "concordant:")),
            place=mask(url),
            **{key: _seconds(url, key, found) for key in _SECONDS},
        )

    def connection_arguments(self) -> dict[str, Any]:
        """Return what both kinds of redis-py connection take, timeouts aside."""
        arguments: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "db": self.db,
            "username": self.username or None,
            "password": self.password or None,
            "socket_connect_timeout": self.connect_timeout_s,
            "socket_keepalive": True,
            # Understood by every server, and replies are plain strings anyway.
            "protocol": 2,
        }
        if self.tls:
            arguments["ssl_check_hostname"] = True
            if self.ca_file:
                arguments["ssl_ca_certs"] = self.ca_file
        return arguments


def _database(url: str, path: str) -> int:
    digits = path.strip("/")
    if digits and not (digits.isascii() and digits.isdecimal() and len(digits) <= 9):
        raise UsageError(f"{mask(url)}: the path is the number of a database, as in redis://host/0")
    return int(digits or "0")


def _prefix(url: str, prefix: str) -> str:
    if not 1 <= len(prefix.encode(errors="replace")) <= _PREFIX_BYTES_MAX:
        raise UsageError(f"{mask(url)}: a prefix has 1 to {_PREFIX_BYTES_MAX} bytes")
    if not prefix.isprintable():
        raise UsageError(f"{mask(url)}: a prefix has no control characters")
    return prefix


def _seconds(url: str, key: str, found: dict[str, str]) -> float:
    if key not in found:
        return _SECONDS[key]
    try:
        seconds = float(found[key])
    except ValueError:
        seconds = float("nan")
    if not _SECONDS_MIN <= seconds <= _SECONDS_MAX:
        raise UsageError(f"{mask(url)}: {key} is {_SECONDS_MIN} to {_SECONDS_MAX:.0f} seconds")
    return seconds
