"""What redis-py's exceptions and the server's error replies mean to a caller, in one table.

An error *reply* to the script that applies a batch says that nothing was applied: Redis refuses
a script before it starts, or at its first write, and ours decides all before it writes. Only
what has no row here, or no reply, leaves the outcome open.
"""

from __future__ import annotations

import re
from typing import Final

from redis import exceptions as redis

from concordant.errors import (
    BackendUnavailable,
    ConcordantError,
    GuaranteeUnavailable,
    OutcomeUnknown,
    UsageError,
)

# By the word that begins an error reply.
_REPLIES: Final[dict[str, tuple[type[ConcordantError], str]]] = {
    "NOAUTH": (UsageError, "it wants a password: put user and password into the URL"),
    "WRONGPASS": (UsageError, "it refused the user or password of the URL"),
    "NOPERM": (
        UsageError,
        "the URL's user may not do that: allow it the keys and channels of the prefix, EVAL,"
        " EVALSHA, SUBSCRIBE and the commands that the script calls",
    ),
    "DENIED": (UsageError, "it runs in protected mode: give it a password or bind it"),
    "READONLY": (BackendUnavailable, "it is a read-only replica; name the primary, or try again"),
    "LOADING": (BackendUnavailable, "it is still loading its data; try again"),
    "MASTERDOWN": (BackendUnavailable, "it is a replica that has lost its primary; try again"),
    "NOREPLICAS": (BackendUnavailable, "too few of its replicas are in reach; try again"),
    "OOM": (BackendUnavailable, "its memory is full: raise maxmemory or free some"),
    "MISCONF": (BackendUnavailable, "it cannot save to its disk and takes no writes"),
    "BUSY": (BackendUnavailable, "somebody's long script keeps it busy; try again"),
    "UNKILLABLE": (BackendUnavailable, "somebody's long script keeps it busy; try again"),
    "CLUSTERDOWN": (BackendUnavailable, "its cluster is down; try again"),
    "MOVED": (GuaranteeUnavailable, "it is a node of a cluster; name a single server"),
    "ASK": (GuaranteeUnavailable, "it is a node of a cluster; name a single server"),
    "CROSSSLOT": (GuaranteeUnavailable, "it is a node of a cluster; name a single server"),
    "WRONGTYPE": (UsageError, "a key under the prefix holds something else; choose a prefix"),
}

# Replies that begin with a mere ERR, by what they contain.
_WORDS: Final[tuple[tuple[str, type[ConcordantError], str], ...]] = (
    ("max number of clients", BackendUnavailable, "it takes no more connections; try again"),
    ("invalid password", UsageError, "it refused the password of the URL"),
    ("without any password configured", UsageError, "it has no password, but the URL does"),
    ("DB index is out of range", UsageError, "it has no database of that number"),
    ("invalid DB index", UsageError, "it has no database of that number"),
    ("unknown command", GuaranteeUnavailable, "it lacks a command that locks need"),
)

# Servers before Redis 7 put what a script met behind words of their own.
_CODE: Final = re.compile(rf"(?:^|[\s-])({'|'.join(_REPLIES)})(?=\s)")


def is_reply(error: Exception) -> bool:
    """Tell whether the server itself said this, so that the connection is still in step."""
    if isinstance(error, redis.ResponseError):
        return True
    # redis-py raises some replies as broken connections.
    return bool(_code(error))


def translate(error: Exception, place: str, sent: bool) -> ConcordantError:
    """Return our error for what a connection raised; `sent`: the request had left.

    A connection that broke or timed out after that leaves the outcome unknown.
    """
    text = _brief(error)
    if isinstance(error, redis.RedisError):
        if code := _code(error):
            kind, advice = _REPLIES[code]
            return kind(f"{place}: {advice}")
        for word, kind, advice in _WORDS:
            if word in text:
                return kind(f"{place}: {advice} ({text})")
        if isinstance(error, redis.AuthenticationError | redis.AuthorizationError):
            return UsageError(f"{place}: it refused the user or password of the URL")
    if sent:
        what = f"it answered {text!r}" if is_reply(error) else f"no answer came ({text})"
        return OutcomeUnknown(f"{place}: {what}; ask again with the same id")
    return BackendUnavailable(f"{place} cannot be reached ({text}); try again")


def _code(error: Exception) -> str:
    code = getattr(error, "status_code", None)
    if code in _REPLIES:
        return str(code)
    for kind, name in _KINDS:
        if isinstance(error, kind):
            return name
    found = _CODE.search(str(error)) if isinstance(error, redis.ResponseError) else None
    return found[1] if found else ""


# redis-py cuts the first word off some replies and, in its older versions, keeps it nowhere.
_KINDS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (redis.ReadOnlyError, "READONLY"),
    (redis.BusyLoadingError, "LOADING"),
    (redis.OutOfMemoryError, "OOM"),
    (redis.NoPermissionError, "NOPERM"),
    (redis.MasterDownError, "MASTERDOWN"),
    (redis.ClusterDownError, "CLUSTERDOWN"),
    (redis.ClusterCrossSlotError, "CROSSSLOT"),
    (redis.MovedError, "MOVED"),
    (redis.AskError, "ASK"),
)


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    if not lines:
        return "it took too long" if isinstance(error, TimeoutError) else type(error).__name__
    return lines[0].rstrip(".")
