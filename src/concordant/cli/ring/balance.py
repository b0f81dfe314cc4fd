"""``ring balance``: how evenly a placement shares out keys."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import click

from concordant.cli.options import Settings, pass_settings
from concordant.cli.output import print_facts, print_json, print_table
from concordant.cli.ring.keys import batches, keys_options
from concordant.cli.ring.nodes import Named, placement_options
from concordant.placement import Placement
from concordant.placement.keys import Key
from concordant.placement.stats import Leavers, Stats


@click.command()
@keys_options
@placement_options
@pass_settings
def balance(
    settings: Settings, keys: tuple[str, ...], files: tuple[str, ...], named: Named
) -> None:
    """Tell how evenly keys are shared out.

    And who would take over those of a leaver. With KEYS or --keys those are counted; without
    any it is about all keys that there could be.
    """
    placement = named.placement()
    stats = placement.stats(_each(keys, files, placement) if keys or files else None)
    if settings.as_json:
        about = {"algorithm": placement.algorithm, "fingerprint": placement.fingerprint()}
        print_json({**about, **stats.as_dict()})
        return
    print_facts(
        [
            ("algorithm", placement.algorithm),
            ("fingerprint", placement.fingerprint()),
            ("shares", _basis(stats)),
            ("busiest", _load(stats, stats.max_load)),
            ("idlest", _load(stats, stats.min_load)),
            ("variation", "" if stats.variation is None else f"{stats.variation:.2%}"),
            ("leavers", _leavers(stats.leavers)),
        ]
    )
    click.echo()
    _print_nodes(stats)


def _each(keys: tuple[str, ...], files: tuple[str, ...], placement: Placement) -> Iterator[Key]:
    return chain.from_iterable(batches(keys, files, placement, prints=False))


def _basis(stats: Stats) -> str:
    if stats.keys is not None:
        return f"counted over {stats.keys} {'key' if stats.keys == 1 else 'keys'}"
    return "exact" if stats.basis == "exact" else "expected of the weights"


def _load(stats: Stats, load: float | None) -> str:
    """Return a load with the node that has it."""
    if load is None:
        return ""
    node_id = next(node_id for node_id, each in stats.loads.items() if each == load)
    return f"{load:.3f} of its fair share: {node_id}"


def _leavers(leavers: Leavers) -> str:
    if leavers.worst is None or leavers.median is None:
        return "nobody can leave keys to others"
    asked = f"; {leavers.asked} nodes were tried" if leavers.basis == "exact" else "; expected"
    return (
        f"the heir with most takes {leavers.median:.2f} of its fair part (median), "
        f"{leavers.worst:.2f} (worst){asked}"
    )


def _print_nodes(stats: Stats) -> None:
    most = stats.leavers.max_load
    rows = []
    for node_id, share in stats.shares.items():
        load, heir = stats.loads.get(node_id), most.get(node_id)
        rows.append(
            (
                node_id,
                f"{share:.2%}",
                f"{stats.fair_shares[node_id]:.2%}",
                "" if load is None else f"{load:.3f}",
                "" if heir is None else f"{heir:.2f}",
            )
        )
    print_table(("node", "share", "fair", "load", "top heir"), rows)
