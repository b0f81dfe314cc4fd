"""Key slots and their owners, asked of real servers in cluster mode."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from redis.exceptions import ResponseError

from concordant.placement.compat import RedisCluster
from concordant.placement.compat.redis_cluster import key_slot
from tests.provision.redis import RedisServer

pytestmark = pytest.mark.server

RANGES = {"low": [(0, 4000), (16383, 16383)], "high": [(4001, 16382)]}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, RedisServer]]:
    """Two servers that serve their slots and know nothing of each other."""
    settings = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
    started = {name: RedisServer(*settings) for name in RANGES}
    try:
        for server in started.values():
            server.start()
        yield started
    finally:
        for server in started.values():
            server.close()


def random_keys(count: int, alphabet: bytes) -> list[bytes]:
    random = Random()  # other keys every time; a failure shows the key
    return [bytes(random.choices(alphabet, k=random.randint(0, 30))) for _ in range(count)]


@pytest.mark.parametrize(
    "alphabet",
    [bytes(range(256)), b"{}", b"{}ab", b"{}{}\0\xff"],
    ids=["any", "braces", "ab", "odd"],
)
def test_slots_are_those_of_the_server(servers: dict[str, RedisServer], alphabet: bytes) -> None:
    keys = random_keys(2000, alphabet)
    pipeline: Any = servers["low"].plain().pipeline(transaction=False)
    for key in keys:
        pipeline.execute_command("CLUSTER KEYSLOT", key)
    wrong = [
        (key, key_slot(key), slot)
        for key, slot in zip(keys, pipeline.execute(), strict=True)
        if key_slot(key) != slot
    ]
    assert wrong == []


@pytest.mark.slow  # two seconds, in which a new master takes no keys
def test_the_owner_is_the_server_that_takes_the_key(servers: dict[str, RedisServer]) -> None:
    clients: dict[str, Any] = {name: server.plain() for name, server in servers.items()}
    for name, client in clients.items():
        for first, last in RANGES[name]:
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
    for client in clients.values():
        wait_until_up(client)
    shown = {name: client.execute_command("CLUSTER SLOTS") for name, client in clients.items()}
    cluster = RedisCluster.from_cluster_slots([*shown["low"], *shown["high"]])
    name_of = {
        client.execute_command("CLUSTER MYID").decode(): name for name, client in clients.items()
    }
    assert {name_of[node_id]: ranges for node_id, ranges in cluster.slots.items()} == RANGES
    for key in random_keys(300, bytes(range(256))) + random_keys(300, b"{}a"):
        takers = [name for name, client in clients.items() if takes(client, key)]
        assert takers == [name_of[cluster.node(key).id]], key


def wait_until_up(client: Any) -> None:
    """Wait until the server takes keys, which it puts off for two seconds after its start."""
    for _ in range(500):
        if client.execute_command("CLUSTER INFO")["cluster_state"] == "ok":
            return
        time.sleep(0.02)
    raise AssertionError("the server does not come up as a cluster")


def takes(client: Any, key: bytes) -> bool:
    """Tell whether the server serves the slot of the key."""
    try:
        client.set(key, b"1")
    except ResponseError as error:
        if "slot not served" not in str(error):
            raise
        return False
    return True
