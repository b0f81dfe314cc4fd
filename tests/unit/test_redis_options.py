"""What a redis:// URL may say, and that it gives no secret away."""

from __future__ import annotations

import pytest

from concordant.drivers import registry
from concordant.drivers.redis.options import RedisOptions
from concordant.errors import UsageError


def test_a_bare_url_is_the_local_server() -> None:
    options = RedisOptions.parse("redis://")
    assert (options.host, options.port, options.db) == ("localhost", 6379, 0)
    assert (options.username, options.password, options.tls) == ("", "", False)
    assert options.prefix == "concordant:"
    assert (options.connect_timeout_s, options.reply_timeout_s) == (3.0, 5.0)


def test_everything_can_be_said() -> None:
    url = (
        "rediss://us%40er:p%2Fw%3A@db.example:7000/12?prefix=app%3A&connect_timeout_s=0.5"
        "&reply_timeout_s=2&ca_file=/etc/ca.pem"
    )
    options = RedisOptions.parse(url)
    assert (options.host, options.port, options.db) == ("db.example", 7000, 12)
    assert (options.username, options.password, options.tls) == ("us@er", "p/w:", True)
    assert (options.prefix, options.ca_file) == ("app:", "/etc/ca.pem")
    assert (options.connect_timeout_s, options.reply_timeout_s) == (0.5, 2.0)


def test_an_address_of_ipv6_is_a_host() -> None:
    assert RedisOptions.parse("redis://[::1]:7000").host == "::1"


@pytest.mark.parametrize(
    "url",
    [
        "redis://host?unknown=1",
        "redis://host/name",
        "redis://host/-1",
        "redis://host/0/1",
        "redis://host:port",
        "redis://host?reply_timeout_s=0",
        "redis://host?reply_timeout_s=soon",
        "redis://host?connect_timeout_s=nan",
        "redis://host?prefix=",
        "redis://host?prefix=a%0Ab",
        "redis://host?prefix=" + "x" * 129,
        "redis://host?ca_file=/etc/ca.pem",
        "redis://host/0#1",
        "redis://host?socket_timeout=5",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        RedisOptions.parse(url)


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_secrets_are_never_shown(scheme: str) -> None:
    url = f"{scheme}://user:secret@host:7000/1"
    options = RedisOptions.parse(url)
    assert "secret" not in repr(options)
    assert options.place == f"{scheme}://host:7000/1"
    with pytest.raises(UsageError) as raised:
        RedisOptions.parse(f"{url}?unknown=1")
    assert "secret" not in str(raised.value)
    assert "secret" not in repr(registry.lock_store(url).capabilities)


def test_both_schemes_lead_to_the_driver() -> None:
    for scheme in ("redis", "rediss"):
        assert registry.lock_store(f"{scheme}://host").capabilities.backend == "redis"
