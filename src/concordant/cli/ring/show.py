"""``ring show``: the nodes of a placement, and what each owns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import click

from concordant.cli.options import Settings, pass_settings
from concordant.cli.output import print_facts, print_json, print_table
from concordant.cli.ring.files import write_text
from concordant.cli.ring.nodes import Named, placement_options
from concordant.placement import Maglev, Memento, ModuloRing, Placement, Slots
from concordant.placement.compat import RedisCluster
from concordant.placement.functions.jump import NumberedPlacement
from concordant.placement.tables.table import TablePlacement

Held = tuple[str, Mapping[str, int]]
"""What nodes have, such as points, and how many of it, or which, by id."""


@click.command()
@click.option(
    "--svg", type=click.Path(path_type=Path), metavar="FILE", help="Write a drawing, too."
)
@click.option(
    "--write-ring",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the placement as JSON, for --ring and --to.",
)
@placement_options
@pass_settings
def show(settings: Settings, svg: Path | None, write_ring: Path | None, named: Named) -> None:
    """Print the nodes and the share of keys of each.

    Shares are exact where nodes own ranges of the hash space; elsewhere they are those that are
    expected of the weights.
    """
    placement = named.placement()
    if svg:
        write_text(svg, placement.to_svg(), "drawing")
    write_text(write_ring, placement.to_json() + "\n", "ring file")
    stats = placement.stats()
    held = held_by(placement)
    about = {
        "algorithm": placement.algorithm,
        "hash": placement.hash_name,
        "fingerprint": placement.fingerprint(),
        "epoch": placement.epoch,
        **{name: value for name, value in placement._about().items() if isinstance(value, int)},
    }
    if settings.as_json:
        rows = [
            {
                "id": node.id,
                "weight": node.weight,
                "zone": node.zone,
                **({held[0]: held[1][node.id]} if held else {}),
                "share": stats.shares[node.id],
            }
            for node in placement
        ]
        print_json({**about, "basis": stats.basis, "nodes": rows})
        return
    print_facts([*about.items(), ("shares", stats.basis)])
    click.echo()
    head = ("node", "weight", "zone", *([held[0]] if held else []), "share")
    print_table(
        head,
        [
            (
                node.id,
                f"{node.weight:g}",
                node.zone,
                *([held[1][node.id]] if held else []),
                f"{stats.shares[node.id]:.2%}",
            )
            for node in placement
        ],
    )


def held_by(placement: Placement) -> Held | None:
    """Return what the nodes of this algorithm have; None where they have nothing of their own."""
    if isinstance(placement, ModuloRing):
        return "position", {node.id: placement.position_of(node.id) for node in placement}
    if isinstance(placement, RedisCluster):
        ranges = placement.slots.items()
        return "slots", {each: sum(last - first + 1 for first, last in its) for each, its in ranges}
    if isinstance(placement, TablePlacement):
        name = "points"
        if isinstance(placement, Slots):
            name = "slots"
        elif isinstance(placement, Maglev):
            name = "entries"
        counts = Counter(placement._table.owners)
        return name, {node.id: counts[slot] for slot, node in placement._slots.items()}
    if isinstance(placement, NumberedPlacement | Memento):
        numbered = enumerate(placement.buckets)
        return "bucket", {node_id: number for number, node_id in numbered if node_id is not None}
    return None
