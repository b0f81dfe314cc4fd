"""What each error of redis-py and of the server means to a caller."""

from __future__ import annotations

import pytest
from redis import exceptions as redis
from redis._parsers.base import BaseParser

from concordant.drivers.redis.errors import is_reply, translate
from concordant.errors import (
    BackendUnavailable,
    GuaranteeUnavailable,
    OutcomeUnknown,
    UsageError,
)

PLACE = "redis://host:7000"

# What a server writes behind the minus sign.
REPLIES = {
    "NOAUTH Authentication required.": UsageError,
    "WRONGPASS invalid username-password pair or user is disabled.": UsageError,
    "ERR invalid password": UsageError,
    "ERR AUTH <password> called without any password configured for the default user. Are you "
    "sure your configuration is correct?": UsageError,
    "NOPERM this user has no permissions to run the 'evalsha' command": UsageError,
    "ERR DB index is out of range": UsageError,
    "WRONGTYPE Operation against a key holding the wrong kind of value": UsageError,
    "DENIED Redis is running in protected mode because protected mode is enabled": UsageError,
    "READONLY You can't write against a read only replica.": BackendUnavailable,
    "READONLY You can't write against a read only replica. script: 3f1c, on @user_script:9.": (
        BackendUnavailable
    ),
    "ERR Error running script (call to f_3f): @user_script:9: @user_script: 9: -READONLY You "
    "can't write against a read only replica. ": BackendUnavailable,
    "LOADING Redis is loading the dataset in memory": BackendUnavailable,
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": (
        BackendUnavailable
    ),
    "NOREPLICAS Not enough good replicas to write.": BackendUnavailable,
    "OOM command not allowed when used memory > 'maxmemory'.": BackendUnavailable,
    "MISCONF Redis is configured to save RDB snapshots": BackendUnavailable,
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL": BackendUnavailable,
    "CLUSTERDOWN Hash slot not served": BackendUnavailable,
    "ERR max number of clients reached": BackendUnavailable,
    "MOVED 3999 127.0.0.1:6381": GuaranteeUnavailable,
    "CROSSSLOT Keys in request don't hash to the same slot": GuaranteeUnavailable,
    "ERR unknown command 'EVALSHA', with args beginning with: ": GuaranteeUnavailable,
}


@pytest.mark.parametrize("reply", list(REPLIES))
def test_a_refusal_says_what_to_do(reply: str) -> None:
    error = translate(BaseParser.parse_error(reply), PLACE, sent=True)
    assert type(error) is REPLIES[reply]
    assert str(error).startswith(f"{PLACE}: ")


@pytest.mark.parametrize("reply", [r for r in REPLIES if "max number" not in r])
def test_after_a_reply_the_connection_is_in_step(reply: str) -> None:
    error = BaseParser.parse_error(reply)
    assert is_reply(error) or isinstance(error, redis.AuthenticationError)


@pytest.mark.parametrize(
    "error",
    [
        redis.ConnectionError("Error 111 connecting to host:7000. Connection refused."),
        redis.ConnectionError("Connection closed by server."),
        redis.TimeoutError("Timeout reading from host:7000"),
        redis.InvalidResponse("Protocol Error: b'x'"),
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError(),
    ],
)
def test_without_a_reply_it_depends_on_what_was_sent(error: Exception) -> None:
    assert not is_reply(error)
    assert type(translate(error, PLACE, sent=False)) is BackendUnavailable
    assert type(translate(error, PLACE, sent=True)) is OutcomeUnknown


def test_an_error_that_nobody_foresaw_leaves_the_outcome_open() -> None:
    error = BaseParser.parse_error("ERR user_script:7: attempt to index a nil value")
    assert is_reply(error)
    told = translate(error, PLACE, sent=True)
    assert type(told) is OutcomeUnknown
    assert "attempt to index" in str(told)


def test_a_timeout_is_told_in_words() -> None:
    assert "too long" in str(translate(TimeoutError(), PLACE, sent=False))
