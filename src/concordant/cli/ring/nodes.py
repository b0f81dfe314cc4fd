"""``ring locate`` and ``ring show``: placement by hand, exactly as services compute it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from concordant.cli.options import Settings, output_options, pass_settings
from concordant.errors import UsageError
from concordant.placement import HashRing, Node
from concordant.placement.points import point_count
from concordant.placement.stats import shares

Command = Callable[..., Any]


def _ring_options(command: Command) -> Command:
    """Add the two ways to name a ring, and the output format."""
    node = click.option(
        "--node",
        "specs",
        multiple=True,
        metavar="ID[=WEIGHT][@ZONE]",
        help="A node; repeat for each. Read from the right: an id with '@' or '=' needs a weight.",
    )
    ring_file = click.option(
        "--ring",
        "ring_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A ring as JSON, as HashRing.to_json() writes it.",
    )
    return node(ring_file(output_options(command)))


@click.group()
@output_options
def ring() -> None:
    """Tell which node owns a key."""


@ring.command()
@click.argument("keys", nargs=-1)
@_ring_options
@pass_settings
def locate(
    settings: Settings, keys: tuple[str, ...], specs: tuple[str, ...], ring_file: Path | None
) -> None:
    """Print the owner of each of KEYS, or of each line of stdin if there are none."""
    placed = _ring_from(specs, ring_file)
    located = ((key, placed.node(key).id) for key in (keys or _keys_from_stdin()))
    if settings.as_json:
        rows = [{"key": key, "node": node_id} for key, node_id in located]
        click.echo(json.dumps({"fingerprint": placed.fingerprint(), "keys": rows}))
        return
    for key, node_id in located:
        click.echo(f"{key}\t{node_id}")


@ring.command()
@_ring_options
@pass_settings
def show(settings: Settings, specs: tuple[str, ...], ring_file: Path | None) -> None:
    """Print the nodes of a ring with the exact share of keys that each owns."""
    placed = _ring_from(specs, ring_file)
    owned = shares(placed)
    rows = [
        {
            "id": node.id,
            "weight": node.weight,
            "zone": node.zone,
            "points": point_count(node, placed.points),
            "share": owned[node.id],
        }
        for node in placed
    ]
    about = {"fingerprint": placed.fingerprint(), "epoch": placed.epoch, "points": placed.points}
    if settings.as_json:
        click.echo(json.dumps({**about, "nodes": rows}))
        return
    for name, value in about.items():
        click.echo(f"{name:<12} {value}")
    width = max((len(node.id) for node in placed), default=0)
    for row in rows:
        click.echo(
            f"{row['id']:<{width}}  weight {row['weight']:<8g} {row['points']:>7} points "
            f"{row['share']:>8.2%}  {row['zone'] or ''}".rstrip()
        )


def parse_node(spec: str) -> Node:
    """Return the node that ``ID[=WEIGHT][@ZONE]`` describes, parsed from the right.

    A zone holds neither '@' nor '='; so ``me@host=1`` is the id ``me@host``, while ``me@host``
    is the id ``me`` in zone ``host``. Raises UsageError when it is not a node.
    """
    head, at, tail = spec.rpartition("@")
    rest, zone = (head, tail) if at and "=" not in tail else (spec, None)
    node_id, equals, weight = rest.rpartition("=")
    if not equals:
        return Node(rest, zone=zone)
    return Node(node_id, _weight(weight, spec), zone)


def _weight(text: str, spec: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(
            f"cannot read node {spec!r}: {text!r} is no weight; write ID[=WEIGHT][@ZONE], "
            "with a weight if the id holds '@' or '='"
        ) from None


def _ring_from(specs: tuple[str, ...], ring_file: Path | None) -> HashRing:
    if bool(specs) == bool(ring_file):
        raise UsageError("name the ring by --node for each node or by --ring FILE, one of the two")
    if ring_file is None:
        return HashRing(map(parse_node, specs))
    try:
        text = ring_file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the ring file {str(ring_file)!r}: {error}") from error
    return HashRing.from_json(text)


def _keys_from_stdin() -> Iterator[str]:
    """Yield each line without its end; bytes that are no UTF-8 are refused, not guessed at."""
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            yield line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError:
            raise UsageError(f"line {number} of stdin is not UTF-8; a key is text") from None
