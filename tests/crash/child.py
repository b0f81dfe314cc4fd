"""A child process: does one job in one world, and leaves its result as a file."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from tests.crash.aio import actor as aio_actor
from tests.crash.aio import saga_actor as aio_saga_actor
from tests.crash.guarded import pay_guarded
from tests.crash.job import Job, result_file
from tests.crash.sync import actor as sync_actor
from tests.crash.sync import saga_actor as sync_saga_actor


def run(job: Job) -> None:
    """Do the job; a fault may end the process inside of it."""
    ended: dict[str, Any]
    if job.role == "guarded":
        ended = pay_guarded(job)
    elif job.role in ("saga", "recover sagas"):
        is_aio = job.world == "aio"
        ended = asyncio.run(aio_saga_actor.act(job)) if is_aio else sync_saga_actor.act(job)
    elif job.world == "aio":
        ended = asyncio.run(aio_actor.act(job))
    else:
        ended = sync_actor.act(job)
    made = Path(job.folder, "result.part")
    made.write_text(json.dumps(ended), "utf-8")
    os.replace(made, result_file(job.folder))
