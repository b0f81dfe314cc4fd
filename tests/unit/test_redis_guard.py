"""Guards on Redis: a write by an old holder never lands."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count

import pytest
import redis
import redis.asyncio
from redis.exceptions import ResponseError

from concordant import AsyncClient, Client, StaleFence, UsageError
from concordant.drivers.redis.guard import (
    GuardedScript,
    async_guard_set,
    guard_set,
)
from concordant.locking import limits
from tests.provision.redis import server

pytestmark = pytest.mark.server

_numbers = count()


@dataclass(frozen=True)
class Lease:
    fence: int
    owner: str


@pytest.fixture
def plain() -> Iterator[redis.Redis]:
    with closing(server().plain()) as client:
        yield client


@pytest.fixture
async def async_plain() -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis(host="127.0.0.1", port=server().port)
    yield client
    await client.aclose()


@pytest.fixture
def name() -> str:
    return f"guarded-{os.getpid()}-{next(_numbers)}"


def test_a_newer_fence_shuts_the_older_out(plain: redis.Redis, name: str) -> None:
    guard_set(plain, name, Lease(10, "a.1"), name, "first")
    guard_set(plain, name, Lease(11, "b.1"), name, "second")
    with pytest.raises(StaleFence, match="fence 10"):
        guard_set(plain, name, Lease(10, "a.1"), name, "late")
    assert plain.get(name) == b"second"
    guard_set(plain, name, Lease(11, "b.1"), name, "again")
    assert plain.get(name) == b"again"


def test_the_same_fence_of_another_owner_is_refused(plain: redis.Redis, name: str) -> None:
    # As after a failover that lost the counter: the first to come has it.
    guard_set(plain, name, Lease(10, "a.1"), name, "first")
    for owner in ("b.1", "a.10", "a"):
        with pytest.raises(StaleFence):
            guard_set(plain, name, Lease(10, owner), name, "late")
    assert plain.get(name) == b"first"


def test_a_refusal_changes_nothing_of_the_guard(plain: redis.Redis, name: str) -> None:
    guard_set(plain, name, Lease(10, "a.1"), name, "first")
    before = plain.get(f"concordant:guard:{name}")
    with pytest.raises(StaleFence):
        guard_set(plain, name, Lease(9, "b.1"), name, "late")
    assert plain.get(f"concordant:guard:{name}") == before
    assert plain.pttl(f"concordant:guard:{name}") == -1


def test_the_largest_fences_are_told_apart(plain: redis.Redis, name: str) -> None:
    last = limits.FENCE_MAX
    guard_set(plain, name, Lease(last, "b.1"), name, "second")
    with pytest.raises(StaleFence):
        guard_set(plain, name, Lease(last - 1, "a.1"), name, "late")
    guard_set(plain, name, Lease(last, "b.1"), name, "again")


def test_a_script_sees_its_own_keys_and_arguments(plain: redis.Redis, name: str) -> None:
    script = GuardedScript(
        "for i, key in ipairs(KEYS) do redis.call('INCRBY', key, ARGV[i]) end\n"
        "return {#KEYS, #ARGV, redis.call('GET', KEYS[2])}"
    )
    keys = [f"{name}-1", f"{name}-2"]
    assert script.run(plain, name, Lease(1, "a.1"), keys, [5, 7]) == [2, 2, b"7"]
    assert script.run(plain, name, Lease(2, "b.1"), keys, [5, 7]) == [2, 2, b"14"]
    with pytest.raises(StaleFence):
        script.run(plain, name, Lease(1, "a.1"), keys, [5, 7])
    assert [plain.get(key) for key in keys] == [b"10", b"14"]


def test_a_script_may_need_nothing(plain: redis.Redis, name: str) -> None:
    assert GuardedScript("return #KEYS + #ARGV").run(plain, name, Lease(1, "a.1")) == 0


def test_a_script_that_the_server_forgot_is_sent_again(plain: redis.Redis, name: str) -> None:
    guard_set(plain, name, Lease(1, "a.1"), name, "first")
    plain.script_flush()
    guard_set(plain, name, Lease(2, "a.2"), name, "second")
    assert plain.get(name) == b"second"


def test_the_scripts_own_errors_are_its_own(plain: redis.Redis, name: str) -> None:
    plain.rpush(name, "a list")
    script = GuardedScript("return redis.call('INCR', KEYS[1])")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        script.run(plain, name, Lease(1, "a.1"), [name])
    with pytest.raises(ResponseError, match="compil"):
        GuardedScript("this is not Lua").run(plain, name, Lease(1, "a.1"))


@pytest.mark.parametrize("kind", ["text", "list"])
def test_a_key_that_is_no_guard_is_left_alone(plain: redis.Redis, name: str, kind: str) -> None:
    key = f"other:guard:{name}"
    if kind == "text":
        plain.set(key, "hello")
    else:
        plain.rpush(key, "hello")
    before = plain.dump(key)
    script = GuardedScript("return redis.call('SET', KEYS[1], 'written')", prefix="other:")
    with pytest.raises((UsageError, ResponseError)):
        script.run(plain, name, Lease(1, "a.1"), [name])
    assert plain.dump(key) == before
    assert plain.get(name) is None


def test_prefixes_are_apart(plain: redis.Redis, name: str) -> None:
    script = GuardedScript("return 1", prefix="another:")
    script.run(plain, name, Lease(9, "a.1"))
    guard_set(plain, name, Lease(1, "b.1"), name, "value")


def test_with_real_leases(plain: redis.Redis, name: str) -> None:
    with Client(server().url()) as client:
        old = client.lock(name).acquire()
        guard_set(plain, name, old, name, "old")
        client.break_lock(name)
        with client.lock(name) as new:
            guard_set(plain, name, new, name, "new")
            with pytest.raises(StaleFence):
                guard_set(plain, name, old, name, "late")
    assert plain.get(name) == b"new"


async def test_the_same_for_tasks(async_plain: redis.asyncio.Redis, name: str) -> None:
    script = GuardedScript("return redis.call('INCR', KEYS[1])")
    async with AsyncClient(server().url()) as client:
        old = await client.lock(name).acquire()
        await async_guard_set(async_plain, name, old, name, 7)
        await client.break_lock(name)
        async with client.lock(name) as new:
            assert await script.async_run(async_plain, name, new, [name]) == 8
            with pytest.raises(StaleFence):
                await async_guard_set(async_plain, name, old, name, "late")
            with pytest.raises(StaleFence):
                await script.async_run(async_plain, name, old, [name])
            await async_plain.script_flush()
            assert await script.async_run(async_plain, name, new, [name]) == 9
            await async_plain.set(name, "text")
            with pytest.raises(ResponseError):
                await script.async_run(async_plain, name, new, [name])
