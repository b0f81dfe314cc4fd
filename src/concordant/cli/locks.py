"""``concordant lock``: who holds what, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click

from concordant.cli.exits import INTERNAL, Failure
from concordant.cli.lock_run import run
from concordant.cli.options import Settings, pass_settings, shared_options, store_url
from concordant.cli.output import print_facts, print_json, print_table, seconds
from concordant.cli.present import is_there
from concordant.cli.reach import check_reachable
from concordant.drivers import registry
from concordant.drivers.base import LockStore
from concordant.locking.limits import BATCH_MAX
from concordant.locking.names import check_name
from concordant.locking.operations import Break, Broken, Inspect, View


@click.group()
@shared_options
def lock() -> None:
    """Run a command under a lock; see and break locks."""


lock.add_command(run)


@lock.command()
@shared_options
@pass_settings
def ls(settings: Settings) -> None:
    """List the locks that are held or waited for."""
    with _store(settings) as store:
        views = list(_views(store)) if store else []
    if settings.as_json:
        print_json({"locks": [as_json(view) for view in views]})
        return
    rows: list[Sequence[object]] = []
    for view in views:
        waiting = len(view.waiters)
        for holder in view.holders:
            left = seconds(holder.remaining_ms / 1000)
            rows.append((view.name, holder.fence, left, waiting, holder.note or holder.owner))
        if not view.holders:
            rows.append((view.name, "", "", waiting, "(nobody)"))
    print_table(("name", "fence", "ttl left", "waiting", "held by"), rows)


@lock.command()
@click.argument("name")
@shared_options
@pass_settings
def show(settings: Settings, name: str) -> None:
    """Show who holds the lock NAME and who waits for it, in order."""
    check_name(name)
    with _store(settings) as store:
        (view,) = _inspect(store, [name]) if store else [View(name, 0, 1, (), ())]
    if settings.as_json:
        print_json(as_json(view))
        return
    state = "held" if view.holders else "free"
    facts: list[tuple[str, object]] = [("name", view.name), ("state", state)]
    facts.append(("last fence", view.fence or "none"))
    for holder in view.holders:
        confirmed = "" if holder.confirmed else ", not yet confirmed"
        left = seconds(holder.remaining_ms / 1000)
        facts.append(("held by", holder.note or "(no note)"))
        facts.append(("  owner", holder.owner))
        facts.append(("  fence", f"{holder.fence}, {left} left{confirmed}"))
    for position, waiter in enumerate(view.waiters, 1):
        facts.append((f"waiting {position}", f"{waiter.note or '(no note)'}, owner {waiter.owner}"))
    print_facts(facts)


@lock.command(name="break")
@click.argument("name")
@click.option("--fence", type=click.IntRange(1), help="Evict the holder with this fence.")
@click.option("--all", "everybody", is_flag=True, help="Evict every holder.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared_options
@pass_settings
def break_(settings: Settings, name: str, fence: int | None, everybody: bool, yes: bool) -> None:
    """Take the lock NAME from its holder; the next in the queue gets it.

    The holder is told when it next renews and may act until then; only a resource that checks
    fences is safe from it.
    """
    if (fence is None) != everybody:
        raise click.UsageError("Say whom to evict: --fence N or --all, one of the two")
    check_name(name)
    whom = "every holder" if everybody else f"the holder with fence {fence}"
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("There is no terminal to ask on; confirm with --yes")
        click.confirm(f"Evict {whom} of {name!r}?", abort=True, err=True)
    with _store(settings) as store:
        (broken,) = store.apply([Break(name, fence or 0)]) if store else [Broken(0)]
    if not isinstance(broken, Broken):
        raise Failure(INTERNAL, f"the store answered {broken}")
    if settings.as_json:
        print_json({"name": name, "broken": broken.count})
    elif broken.count:
        click.echo(f"evicted {whom} of {name!r}")
    else:
        click.echo(f"{name!r} has no such holder; nothing was changed")


@contextmanager
def _store(settings: Settings) -> Iterator[LockStore | None]:
    """Open the lock store, after finding out within seconds whether it answers.

    None if there is none yet: whoever looks makes nothing.
    """
    url = store_url(settings)
    if not is_there(url, "lock_store", "locks", not settings.as_json):
        yield None
        return
    check_reachable(url)
    store = registry.lock_store(url)
    try:
        yield store
    finally:
        store.close()


def _views(store: LockStore) -> Iterator[View]:
    """Yield every lock that is held or waited for, by name."""
    after = ""
    while names := store.names(after, BATCH_MAX):
        # One that was given back meanwhile is of no interest any more.
        yield from (view for view in _inspect(store, names) if view.holders or view.waiters)
        after = names[-1]


def _inspect(store: LockStore, names: Sequence[str]) -> list[View]:
    views = store.apply([Inspect(name) for name in names])
    return [view for view in views if isinstance(view, View)]


def as_json(view: View) -> dict[str, Any]:
    """Return a lock as JSON shows it: the fields of View."""
    return asdict(view)
