"""``ring locate``: the owner of each key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import click

from concordant.cli.options import Settings, pass_settings
from concordant.cli.ring.keys import STDIN, Batch, batches, keys_options
from concordant.cli.ring.nodes import Named, placement_options
from concordant.errors import UsageError
from concordant.placement import Placement


@click.command()
@keys_options
@click.option(
    "--replicas",
    type=click.IntRange(1),
    metavar="N",
    help="Print N nodes for each key, the owner first.",
)
@click.option(
    "--spread",
    type=click.Choice(["zone"]),
    help="Take replicas from as many zones as there are; needs --replicas.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="ID",
    help="Pass over a node that is down; repeat for each.",
)
@placement_options
@pass_settings
def locate(
    settings: Settings,
    keys: tuple[str, ...],
    files: tuple[str, ...],
    replicas: int | None,
    spread: str | None,
    exclude: tuple[str, ...],
    named: Named,
) -> None:
    """Print the owner of each key.

    Without KEYS and --keys they are the lines of stdin.
    """
    placement = named.placement()
    if spread and (replicas or 1) < 2:
        raise UsageError("--spread does nothing without --replicas 2 or more; add it")
    for node_id in exclude:
        if node_id not in placement:
            click.echo(f"concordant: there is no node {node_id!r} to exclude", err=True)
    up = sum(node.id not in exclude for node in placement)
    if 0 < up < (replicas or 1):
        raise UsageError(
            f"there are {up} nodes to choose from, so --replicas is {up} at most, not {replicas}"
        )
    files = files if files or keys else (STDIN,)
    # What comes before the next row; nothing is printed before the files are found to be there.
    before = f'{{"fingerprint": "{placement.fingerprint()}", "keys": ['
    for batch in batches(keys, files, placement, prints=True):
        found = _located(placement, batch, replicas or 1, spread, exclude)
        pairs = zip(batch, found, strict=True)
        if settings.as_json:
            rows = [json.dumps(_row(key, ids, replicas)) for key, ids in pairs]
            click.echo(before + ", ".join(rows), nl=False)
            before = ", "
        else:
            click.echo("".join(_line(key, ids) for key, ids in pairs), nl=False)
    if settings.as_json:
        click.echo(("" if before == ", " else before) + "]}")


def _line(key: str | int, ids: list[str]) -> str:
    return "\t".join([str(key), *ids]) + "\n"


def _located(
    placement: Placement,
    keys: Batch,
    replicas: int,
    spread: str | None,
    exclude: Sequence[str],
) -> Iterable[list[str]]:
    """Yield for each key the ids of its nodes."""
    if replicas == 1 and not exclude:
        ids = list(placement.nodes_by_id)
        return [[ids[place]] for place in placement.index_many(keys)]
    found = (placement.nodes(key, replicas, spread=spread, exclude=exclude) for key in keys)
    return ([node.id for node in nodes] for nodes in found)


def _row(key: str | int, ids: list[str], replicas: int | None) -> dict[str, object]:
    row: dict[str, object] = {"key": key, "node": ids[0]}
    return row if replicas is None else {**row, "nodes": ids}
