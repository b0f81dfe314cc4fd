"""What a placement is compared with: another one, or itself after a change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from concordant.cli.ring.nodes import Named, parse_node, placement_from
from concordant.errors import UsageError
from concordant.placement import Placement

Command = Callable[..., Any]


@dataclass(frozen=True)
class Change:
    """What the options say of the placement before and after."""

    before: Named
    file: Path | None
    add: tuple[str, ...]
    remove: tuple[str, ...]
    reweight: tuple[str, ...]

    def placements(self) -> tuple[Placement, Placement]:
        """Return the placements before and after; raises UsageError if they make no sense."""
        changed = bool(self.add or self.remove or self.reweight)
        if changed == bool(self.file):
            raise UsageError(
                "say what changes: by --to FILE, or by --add, --remove and --reweight, one of the "
                "two ways"
            )
        old = self.before.placement()
        if self.file is not None:
            return old, placement_from(self.file)
        reweight = dict(map(_weight, self.reweight))
        return old, old.with_nodes(map(parse_node, self.add), self.remove, reweight)


def change_options(command: Command) -> Command:
    """Add what names the placement after the change; passed on, with ``named``, as ``change``."""

    @wraps(command)
    def wrapped(
        *arguments: Any,
        named: Named,
        to: Path | None,
        add: tuple[str, ...],
        remove: tuple[str, ...],
        reweight: tuple[str, ...],
        **rest: Any,
    ) -> Any:
        return command(*arguments, change=Change(named, to, add, remove, reweight), **rest)

    decorated: Command = wrapped
    for option in reversed(
        (
            click.option(
                "--to",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="The new placement, of any algorithm, as JSON.",
            ),
            click.option(
                "--add",
                multiple=True,
                metavar="ID[=WEIGHT][@ZONE]",
                help="A node that joins; repeatable.",
            ),
            click.option(
                "--remove", multiple=True, metavar="ID", help="A node that leaves; repeatable."
            ),
            click.option(
                "--reweight",
                multiple=True,
                metavar="ID=WEIGHT",
                help="A node with a new weight; repeatable.",
            ),
        )
    ):
        decorated = option(decorated)
    return decorated


def _weight(spec: str) -> tuple[str, float]:
    node_id, equals, weight = spec.rpartition("=")
    try:
        if equals:
            return node_id, float(weight)
    except ValueError:
        pass
    raise UsageError(f"cannot read {spec!r} as a new weight; write --reweight ID=WEIGHT")
