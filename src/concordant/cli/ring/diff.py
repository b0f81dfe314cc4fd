"""``ring diff``: which of these keys a change moves."""

from __future__ import annotations

import json

import click

from concordant.cli.options import Settings, pass_settings
from concordant.cli.ring.change import Change, change_options
from concordant.cli.ring.keys import STDIN, Batch, batches, keys_options
from concordant.cli.ring.nodes import placement_options
from concordant.errors import UsageError
from concordant.placement import Placement


@click.command()
@keys_options
@placement_options
@change_options
@pass_settings
def diff(settings: Settings, keys: tuple[str, ...], files: tuple[str, ...], change: Change) -> None:
    """Print which keys a change moves.

    Each with its owner before and after; how many move is said on stderr. Without KEYS and
    --keys they are the lines of stdin.
    """
    old, new = change.placements()
    if (old.hash_name == "int") != (new.hash_name == "int"):
        raise UsageError(
            "one of the placements takes hashes as keys and the other does not: they share no keys"
        )
    files = files if files or keys else (STDIN,)
    asked = moved = 0
    # What comes before the next row; nothing is printed before the files are found to be there.
    head = {"old_fingerprint": old.fingerprint(), "new_fingerprint": new.fingerprint()}
    before = f'{json.dumps(head)[:-1]}, "moves": ['
    for batch in batches(keys, files, old, prints=True):
        owners = zip(batch, _owners(old, batch), _owners(new, batch), strict=True)
        moves = [(key, old_id, new_id) for key, old_id, new_id in owners if old_id != new_id]
        asked, moved = asked + len(batch), moved + len(moves)
        if moves and settings.as_json:
            rows = [json.dumps({"key": key, "from": one, "to": two}) for key, one, two in moves]
            click.echo(before + ", ".join(rows), nl=False)
            before = ", "
        elif moves:
            lines = (f"{key}\t{_name(one)}\t{_name(two)}\n" for key, one, two in moves)
            click.echo("".join(lines), nl=False)
    if settings.as_json:
        start = "" if before == ", " else before
        click.echo(f'{start}], "keys": {asked}, "moved": {moved}}}')
    else:
        part = f" ({moved / asked:.2%})" if asked else ""
        click.echo(f"concordant: {moved} of {asked} keys move{part}", err=True)


def _owners(placement: Placement, keys: Batch) -> list[str | None]:
    if not len(placement):
        return [None] * len(keys)
    ids = list(placement.nodes_by_id)
    return [ids[place] for place in placement.index_many(keys)]


def _name(node_id: str | None) -> str:
    return "(nobody)" if node_id is None else node_id
