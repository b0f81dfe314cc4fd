"""How long it takes with transactions and sagas whose coordinator was killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from concordant import AsyncCoordinator, BackendUnavailable, Client, Coordinator
from concordant._bridge import aio as aio_bridge
from concordant._bridge import sync as sync_bridge
from concordant.transactions.names import new_gid
from tests.crash import saga_scenarios, scenarios
from tests.crash.aio.saga_actor import saga_of as async_saga_of
from tests.crash.guarded import LOCK, pass_guards
from tests.crash.harness import Child
from tests.crash.holders import crashed_holder
from tests.crash.job import Job
from tests.crash.stage import ALIVE_S, Stage
from tests.crash.sync.saga_actor import saga_of
from tests.liveness.scene import LONG_S, Scene

# What the scenes choose themselves; a bound is counted from these.
OWNER_TTL_S = 1.0
RECOVER_EVERY_S = 0.5
# What the URLs of the databases under test allow for a row or a turn to write.
ROW_WAIT_S = 2.0

_POLL_S = 0.02
_POINTS = {point.name: point for point in scenarios.POINTS}
_SAGA_POINTS = {point.name: point for point in saga_scenarios.POINTS}


def transaction_recovered(scene: Scene) -> float:
    """Kill a coordinator once it has decided; return how long until another has done the rest."""
    assert scene.combo is not None
    with scene.theatre().stage(scene.combo, scene.folder) as stage:

        def killed() -> Child:
            run = scenarios.Run(stage, _POINTS["A6-decided"], scene.world)
            child = run.start("crash", OWNER_TTL_S)
            child.crashed()
            return child

        child, took_s = _recovered(scene, stage, killed)
        stage.check(child.job, None, "commit")
    return took_s


def saga_recovered(scene: Scene) -> float:
    """Kill whoever runs a saga between two steps; return how long until another has ended it."""
    assert scene.combo is not None
    with scene.theatre().stage(scene.combo, scene.folder) as stage:

        def killed() -> Child:
            run = saga_scenarios.Run(stage, _SAGA_POINTS["D3-first"], scene.world)
            child = run.start("crash", OWNER_TTL_S)
            child.crashed()
            return child

        saga = stage.job("recover sagas", scene.world)
        child, took_s = _recovered(scene, stage, killed, saga)
        assert stage.applied(child.job.gid, "transfer")
    return took_s


def _recovered(
    scene: Scene, stage: Stage, killed: Callable[[], Child], saga: Job | None = None
) -> tuple[Child, float]:
    """Return how long a living coordinator takes to end what the killed one has left."""
    if scene.world == "aio":
        return asyncio.run(_recovered_aio(stage, killed, saga))
    with Coordinator(
        stage.log,
        participants=[place.url for place in stage.places],
        owner_ttl_s=ALIVE_S,
        recover_every_s=RECOVER_EVERY_S,
    ) as coordinator:
        if saga is not None:
            coordinator.register(saga_of(saga, sync_bridge.direct))
        child, killed_s = killed(), time.monotonic()
        while coordinator.doubts() or coordinator.sagas():
            assert time.monotonic() < killed_s + LONG_S
            time.sleep(_POLL_S)
        return child, time.monotonic() - killed_s


async def _recovered_aio(
    stage: Stage, killed: Callable[[], Child], saga: Job | None
) -> tuple[Child, float]:
    async with AsyncCoordinator(
        stage.log,
        participants=[place.url for place in stage.places],
        owner_ttl_s=ALIVE_S,
        recover_every_s=RECOVER_EVERY_S,
    ) as coordinator:
        if saga is not None:
            coordinator.register(async_saga_of(saga, aio_bridge.direct))
        child, killed_s = await asyncio.to_thread(killed), time.monotonic()
        while await coordinator.doubts() or await coordinator.sagas():
            assert time.monotonic() < killed_s + LONG_S
            await asyncio.sleep(_POLL_S)
        return child, time.monotonic() - killed_s


def guard_waited(scene: Scene) -> float:
    """Pass a guard while a dead predecessor's branch is in doubt; return when one is told so."""
    assert scene.combo is not None
    with (
        scene.theatre().stage(scene.combo, scene.folder) as stage,
        stage.coordinator() as coordinator,
    ):
        dead = crashed_holder(stage, _POINTS["A6-decided"])
        mine = replace(dead, gid=new_gid())
        with Client(dead.locks) as client, client.lock(LOCK, timeout_s=LONG_S) as lease:
            begun_s = time.monotonic()
            with (
                pytest.raises(BackendUnavailable),
                coordinator.transaction(*mine.urls(), gid=mine.gid) as connections,
            ):
                pass_guards(mine, connections, lease)
            took_s = time.monotonic() - begun_s
        stage.settle()
    return took_s
