"""``concordant lock run``: a command that runs only while its lock is held."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from dataclasses import dataclass
from typing import Final, Literal

import click

from concordant.aio.client import AsyncClient
from concordant.aio.lease import AsyncLease
from concordant.cli.child import Child, signal_name
from concordant.cli.exits import BUSY, LOST, SIGNALLED, Failure
from concordant.cli.guardian import Guardian
from concordant.cli.options import Settings, pass_settings, shared_options, store_url
from concordant.cli.output import print_json
from concordant.cli.reach import check_reachable
from concordant.cli.supervise import ENDING, JOB_CONTROL, News, Policy, Supervisor, listening
from concordant.drivers.urls import mask
from concordant.errors import ConcordantError, LockLost, LockTimeout, OutcomeUnknown
from concordant.locking.limits import NOTE_BYTES_MAX

_log = logging.getLogger("concordant.lock_run")
_SECONDS_MAX: Final = 7 * 24 * 3600


class _Interrupted(Exception):
    """A signal ended the wait for the lock."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal_name(number)} before the command was started")
        self.number = number


def _seconds(
    context: click.Context, parameter: click.Parameter, value: float | None
) -> float | None:
    if value is not None and not 0 <= value <= _SECONDS_MAX:
        why = f"{value:g} is not a number of seconds from 0 to {_SECONDS_MAX}"
        raise click.BadParameter(why, context, parameter)
    return value


class _RunCommand(click.Command):
    """A command line whose part after ``--`` is another one, and none of our business."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        split = args.index("--") if "--" in args else len(args)
        ours, command = args[:split], args[split + 1 :]
        if not command and not {"-h", "--help"} & set(ours):
            raise click.UsageError("Write -- and then the command that is to run", ctx)
        rest = super().parse_args(ctx, ours)
        ctx.params["command"] = tuple(command)
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- COMMAND..."]


@dataclass(frozen=True, slots=True)
class Order:
    """What one ``lock run`` is to do."""

    name: str
    command: tuple[str, ...]
    wait_s: float | None
    policy: Policy
    as_json: bool


@click.command(cls=_RunCommand)
@click.argument("name")
@click.option("-n", "--nonblock", is_flag=True, help="Do not wait: exit 75 if it is held.")
@click.option("-w", "--wait", "wait_s", type=float, callback=_seconds, help="Wait at most so long.")
@click.option(
    "-E",
    "--conflict-exit-code",
    type=click.IntRange(0, 255),
    default=BUSY,
    show_default=True,
    help="The exit code if the lock was not granted.",
)
@click.option("--skip-ok", is_flag=True, help="Exit 0 if the lock was not granted.")
@click.option(
    "--ttl",
    "ttl_s",
    type=float,
    callback=_seconds,
    default=30,
    show_default=True,
    help="A holder that dies is replaced after this time; a living one renews.",
)
@click.option(
    "--on-lost",
    type=click.Choice(["kill", "warn"]),
    default="kill",
    show_default=True,
    help="What to do if the lease is lost while the command runs.",
)
@click.option(
    "--grace",
    "grace_s",
    type=float,
    callback=_seconds,
    default=10,
    show_default=True,
    help="Time between asking the command to end (TERM) and KILL.",
)
@shared_options
@pass_settings
def run(
    settings: Settings,
    name: str,
    nonblock: bool,
    wait_s: float | None,
    conflict_exit_code: int,
    skip_ok: bool,
    ttl_s: float,
    on_lost: Literal["kill", "warn"],
    grace_s: float,
    command: tuple[str, ...],
) -> int:
    """Run a command while the lock NAME is held, and exit with its code.

    The command gets CONCORDANT_LOCK, CONCORDANT_FENCE and CONCORDANT_OWNER in its environment,
    runs in a process group of its own, and the lock is given back only when the whole group is
    gone: what it leaves running in the background has the grace to finish, then it is ended.

    Exits with 75 if the lock was not granted, 79 if the lease was lost and the command was
    stopped, 69 if the backend cannot be reached, 128 + n after a signal. If this process is
    killed, or stopped for longer than the lease runs, the command is ended as well, unless
    --on-lost warn was given.

    With -o json the command's own stdout goes to stderr.
    """
    if nonblock and wait_s is not None:
        raise click.UsageError("Give --nonblock or --wait, not both")
    policy = Policy(on_lost, grace_s, ttl_s)
    order = Order(name, command, 0.0 if nonblock else wait_s, policy, settings.as_json)
    url = store_url(settings, make=True)
    # Ignored, as some daemons leave it, it would make the system reap the command unseen.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        check_reachable(url)
        return asyncio.run(_carry_out(order, url))
    except LockTimeout as error:
        _report(order, {"granted": False, "reason": str(error)})
        if skip_ok:
            _log.info("%s; skipped", error)
            return 0
        raise Failure(conflict_exit_code, str(error)) from None
    except _Interrupted as error:
        _log.info("%s", error)
        return SIGNALLED + error.number


async def _carry_out(order: Order, url: str) -> int:
    news: News = asyncio.Queue()
    asked = time.monotonic()
    with listening(news, ENDING):
        async with AsyncClient(url) as client:
            lease = await _acquire(client, order, news, mask(url))
            waited_s = time.monotonic() - asked
            _log.info("holding %r under fence %d", lease.name, lease.fence)
            code, lost = await _run_under(lease, order, news)
    stopped = lost and order.policy.on_lost == "kill"
    facts = {"granted": True, "fence": lease.fence, "owner": lease.owner}
    ended = {"exit_code": LOST if stopped else code, "lost": lost, "waited_s": round(waited_s, 3)}
    _report(order, {**facts, **ended})
    if stopped:
        raise Failure(LOST, f"{lease.name!r} (fence {lease.fence}) was lost while the command ran")
    return code


async def _acquire(client: AsyncClient, order: Order, news: News, place: str) -> AsyncLease:
    """Return the lease; a signal meanwhile withdraws the request and raises _Interrupted."""
    program = os.path.basename(order.command[0])
    # The program's name alone: its arguments may hold passwords.
    note = f"pid {os.getpid()} on {socket.gethostname()}: {program}"
    note = note.encode("utf-8", "replace")[:NOTE_BYTES_MAX].decode("utf-8", "ignore")
    lock = client.lock(order.name, order.policy.ttl_s, order.wait_s, note=note)
    acquiring = asyncio.ensure_future(lock.acquire())
    interrupted = asyncio.ensure_future(news.get())
    await asyncio.wait({acquiring, interrupted}, return_when=asyncio.FIRST_COMPLETED)
    if interrupted.done():
        # If it was granted just now, closing the client gives it back.
        acquiring.cancel()
        await asyncio.gather(acquiring, return_exceptions=True)
        raise _Interrupted(interrupted.result())
    interrupted.cancel()
    try:
        return acquiring.result()
    except LockTimeout:
        raise await _busy(client, order, place) from None


async def _busy(client: AsyncClient, order: Order, place: str) -> LockTimeout:
    """Return the error that says who holds the lock, as far as the store can tell."""
    waited = f"waited {order.wait_s:g} s, " if order.wait_s else ""
    try:
        view = await client.inspect(order.name)
        holders = [f"{each.note or each.owner} (fence {each.fence})" for each in view.holders]
    except ConcordantError:
        holders = []
    held = f"{order.name!r} is held by {'; '.join(holders) or 'others'} at {place}"
    return LockTimeout(f"{held}; {waited}try later")


async def _run_under(lease: AsyncLease, order: Order, news: News) -> tuple[int, bool]:
    """Run the command and give the lock back; return its code, and whether it was lost."""
    try:
        code = await _run(lease, order, news)
    except BaseException:
        await _give_back(lease)
        raise
    return code, not await _give_back(lease)


async def _run(lease: AsyncLease, order: Order, news: News) -> int:
    lease.check()
    if not news.empty():
        raise _Interrupted(news.get_nowait())
    environment = {
        "CONCORDANT_LOCK": lease.name,
        "CONCORDANT_FENCE": str(lease.fence),
        "CONCORDANT_OWNER": lease.owner,
    }
    guardian = Guardian(order.policy.grace_s) if order.policy.on_lost == "kill" else None
    try:
        with listening(news, JOB_CONTROL):
            child = Child.start(order.command, environment, order.as_json)
            if guardian is not None:
                guardian.watch(child.group, lease)
            return await Supervisor(child, lease, order.policy, news, guardian).run()
    finally:
        if guardian is not None:
            guardian.dismiss()


async def _give_back(lease: AsyncLease) -> bool:
    """Release; False if the lease was over before."""
    try:
        await lease.release()
    except LockLost as error:
        _log.info("%s", error)
        return False
    except OutcomeUnknown as error:
        _log.warning("%s", error)
    return True


def _report(order: Order, facts: dict[str, object]) -> None:
    if order.as_json:
        print_json({"lock": order.name, **facts})
