"""``concordant doctor``: does the backend work, and what does it promise?"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
from dataclasses import asdict
from typing import Any, Final

import click

from concordant.cli.checkup import PORTS, Report, examine
from concordant.cli.exits import INTERNAL, MISCONFIGURED, UNAVAILABLE, Failure
from concordant.cli.options import Settings, pass_settings, shared_options, store_url
from concordant.cli.output import print_facts, print_json
from concordant.cli.reach import REACH_S
from concordant.drivers import registry
from concordant.drivers.urls import mask
from concordant.errors import UsageError
from concordant.placement.hashing.xxh64 import xxh64, xxh64_pure
from concordant.placement.kernel import native

# What is wrong, in the order in which it is to be mended.
_CODES: Final = {
    "unreachable": UNAVAILABLE,
    "failed": INTERNAL,
    "misconfigured": MISCONFIGURED,
}


@click.command()
@click.argument("target", metavar="[URL]", required=False)
@click.option(
    "-p",
    "--port",
    "chosen",
    multiple=True,
    type=click.Choice(PORTS),
    help="Check this use of the backend alone; repeatable.",
)
@click.option("--make", is_flag=True, help="Make what the uses named with -p lack, and try them.")
@shared_options
@pass_settings
def doctor(settings: Settings, target: str | None, chosen: tuple[str, ...], make: bool) -> int:
    """Check a backend: reach it, take a lock, and say what it promises.

    Each use that it has (locks, transaction log, participant) is checked; without any URL
    only the locks of the embedded file are. It makes no file and no table: a use that has
    none there yet is unused, and what its first use would make is listed.

    Exits with 69 if something cannot be reached, 78 if it is misconfigured.
    """
    if make and not chosen:
        raise click.UsageError("Say what to make: --make with -p, once for each use")
    named = target or settings.url or os.environ.get("CONCORDANT_URL")
    url = named or store_url(settings, make=True)
    ports = chosen or (PORTS if named else ("locks",))
    reports = _examine(url, ports, make)
    for report in reports:
        if report.status == "absent" and report.port in chosen:
            report.status = "misconfigured"
    code = next((code for name, code in _CODES.items() if _any(reports, name)), 0)
    about = _about(url)
    if settings.as_json:
        print_json({**about, "ok": code == 0, "ports": [asdict(each) for each in reports]})
    else:
        print_facts([(name.replace("_", " "), value) for name, value in about.items()])
        for report in reports:
            _print(report)
    if code:
        first = next(each for each in reports if _CODES.get(each.status) == code)
        raise Failure(code, f"{first.port} {first.status}: {first.error}")
    return 0


def _examine(url: str, ports: tuple[str, ...], make: bool) -> list[Report]:
    try:
        registry.check_scheme(url)
        return examine(url, ports, REACH_S, make)
    except UsageError as error:
        raise Failure(MISCONFIGURED, str(error)) from error


def _any(reports: list[Report], status: str) -> bool:
    return any(report.status == status for report in reports)


def _about(url: str) -> dict[str, Any]:
    kernel = "C" if native is not None else "pure Python"
    if native is None and xxh64 is not xxh64_pure:
        kernel += f", hashes by xxhash {importlib.metadata.version('xxhash')}"
    return {
        "url": mask(url),
        "concordant": importlib.metadata.version("concordant"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "sqlite": sqlite3.sqlite_version,
        "placement_kernel": kernel,
    }


def _print(report: Report) -> None:
    click.echo(f"\n{report.port}: {report.status}")
    if report.error:
        click.echo(f"  {report.error}")
    facts: dict[str, Any] = {**report.capabilities, **report.facts}
    shown = {True: "yes", False: "no"}
    print_facts(
        [
            (f"  {name.replace('_', ' ')}", shown[value] if isinstance(value, bool) else value)
            for name, value in facts.items()
        ]
    )
