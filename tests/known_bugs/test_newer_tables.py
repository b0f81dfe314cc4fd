"""Tables and records of a version that is newer are left as they are, and it is said."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from concordant import AsyncClient, Client, UsageError
from concordant.drivers import registry
from concordant.locking.operations import Inspect
from tests.provision.postgres import POSTGRES, PostgresDialect
from tests.provision.redis import REDIS
from tests.provision.redis import server as redis_server

pytestmark = pytest.mark.server

USES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "lock_store": ("concordant_lock", lambda store: store.apply([Inspect("a")])),
    "transaction_log": ("concordant_log_owner", lambda log: log.apply([])),
    "participant": ("concordant_branch", lambda participant: participant.resource()),
    "barrier": ("concordant_barrier", lambda barrier: barrier.enter("g", "s", "action").abandon()),
}
FUNCTIONS = "SELECT md5(string_agg(prosrc, '' ORDER BY proname)) FROM pg_proc"
FUNCTIONS += " WHERE proname ~ '^concordant_lock' AND pronamespace = current_schema()::regnamespace"


@pytest.mark.parametrize("port", USES)
def test_postgresql(tmp_path: Path, port: str) -> None:
    fresh = POSTGRES.fresh("participant")
    assert fresh is not None
    url = fresh(tmp_path).partition("?")[0]
    outside = PostgresDialect().outside
    table, use = USES[port]
    with closing(getattr(registry, port)(url)) as driver:
        use(driver)
    [[comment]] = outside(url, f"SELECT obj_description('{table}'::regclass)")
    assert comment.startswith("concordant schema 1")
    newer = comment.replace("schema 1", "schema 2").replace("functions", "other functions")
    outside(url, f"COMMENT ON TABLE {table} IS '{newer}'")
    before = outside(url, FUNCTIONS)
    with closing(getattr(registry, port)(url)) as driver:
        for _ in range(2):
            with pytest.raises(UsageError, match=r"newer concordant.*schema 2.*knows 1.*upgrade"):
                use(driver)
    # Nothing was made over, nor was the mark.
    assert outside(url, FUNCTIONS) == before
    assert outside(url, f"SELECT obj_description('{table}'::regclass)") == [(newer,)]
    # What was made before there were marks is of the first version.
    outside(url, f"COMMENT ON TABLE {table} IS NULL")
    with closing(getattr(registry, port)(url)) as driver:
        use(driver)


async def test_redis(tmp_path: Path) -> None:
    assert REDIS.lock_url is not None
    url = REDIS.lock_url(tmp_path)
    key = url.partition("prefix=")[2] + "lock:a"
    with closing(redis_server().plain()) as plain:
        plain.eval("redis.call('SET', KEYS[1], cmsgpack.pack({2, 1, 1, {}, {}, {}}))", 1, key)
        before = plain.dump(key)
        with Client(url) as client, pytest.raises(UsageError, match=r"newer concordant.*upgrade"):
            client.lock("a").acquire()
        async with AsyncClient(url) as tasks:
            with pytest.raises(UsageError, match=r"newer concordant.*upgrade"):
                async with tasks.lock("a"):
                    pass
        assert plain.dump(key) == before
