"""A placement from the command line: by its nodes, or from a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from concordant.cli.options import output_options
from concordant.cli.ring.files import read_text
from concordant.errors import UsageError
from concordant.placement import (
    HashRing,
    Jump,
    Maglev,
    Memento,
    ModuloRing,
    Node,
    Placement,
    Rendezvous,
    Slots,
)

Command = Callable[..., Any]

ALGORITHMS: Final[dict[str, Callable[..., Placement]]] = {
    kind.algorithm: kind
    for kind in (HashRing, Rendezvous, Slots, Memento, Maglev, Jump, ModuloRing)
}
# Each option that is one algorithm's alone, by the name of the argument.
_ONLY_FOR: Final = {
    "points": HashRing.algorithm,
    "slots": Slots.algorithm,
    "size": Maglev.algorithm,
    "p": ModuloRing.algorithm,
    "hash": ModuloRing.algorithm,
}


@dataclass(frozen=True)
class Named:
    """What the options say of a placement."""

    specs: tuple[str, ...]
    file: Path | None
    algorithm: str | None
    settings: dict[str, Any]

    def placement(self) -> Placement:
        """Return the placement that is named; raises UsageError if there is none."""
        if bool(self.specs) == bool(self.file):
            raise UsageError(
                "name the ring by --node for each node or by --ring FILE, one of the two"
            )
        if self.file is None:
            algorithm = self.algorithm or HashRing.algorithm
            self._check_settings(algorithm)
            return ALGORITHMS[algorithm](map(parse_node, self.specs), **self.settings)
        given = ["algorithm"] * bool(self.algorithm) + list(self.settings)
        if given:
            raise UsageError(
                f"--{given[0]} is for nodes that are given by --node; the file says it all, "
                "leave it out"
            )
        return placement_from(self.file)

    def _check_settings(self, algorithm: str) -> None:
        for name in self.settings:
            if _ONLY_FOR[name] != algorithm:
                raise UsageError(
                    f"--{name} does nothing for {algorithm}; it is for "
                    f"--algorithm {_ONLY_FOR[name]}, or leave it out"
                )


def placement_from(file: Path) -> Placement:
    """Return the placement that a file holds as JSON; raises UsageError if it is none."""
    text = read_text(file, "ring file")
    try:
        return Placement.from_json(text)
    except UsageError as error:
        raise UsageError(f"in the ring file {str(file)!r}: {error}") from error


def placement_options(command: Command) -> Command:
    """Add what names a placement, passed on as ``named``, and the shared options."""

    @wraps(command)
    def wrapped(
        *arguments: Any,
        specs: tuple[str, ...],
        ring_file: Path | None,
        algorithm: str | None,
        **rest: Any,
    ) -> Any:
        given = {name: rest.pop(name) for name in _ONLY_FOR}
        settings = {name: value for name, value in given.items() if value is not None}
        named = Named(specs, ring_file, algorithm, settings)
        return command(*arguments, named=named, **rest)

    return _options(output_options(wrapped))


def _options(command: Command) -> Command:
    for option in reversed(
        (
            click.option(
                "--node",
                "specs",
                multiple=True,
                metavar="ID[=WEIGHT][@ZONE]",
                help="A node; repeat for each. Read from the right: an id with '@' or '=' needs a "
                "weight.",
            ),
            click.option(
                "--ring",
                "ring_file",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="A placement of any algorithm, as its to_json() writes it.",
            ),
            click.option(
                "--algorithm",
                type=click.Choice(list(ALGORITHMS)),
                help="How keys are placed on the nodes.  [default: ring]",
            ),
            click.option(
                "--points",
                type=int,
                help="Points a node of weight 1 has on a ring.  [default: 160]",
            ),
            click.option("--slots", type=int, help="Number of slots.  [default: 65536]"),
            click.option(
                "--size", type=int, help="Entries of a Maglev table, a prime.  [default: 65537]"
            ),
            click.option("--p", type=int, help="Positions of a modulo-ring.  [default: 360]"),
            click.option(
                "--hash", metavar="DIGEST", help="Digest of a modulo-ring.  [default: md5]"
            ),
        )
    ):
        command = option(command)
    return command


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
    try:
        number = float(weight)
    except ValueError:
        raise UsageError(
            f"cannot read node {spec!r}: {weight!r} is no weight; write ID[=WEIGHT][@ZONE], "
            "with a weight if the id holds '@' or '='"
        ) from None
    return Node(node_id, number, zone)
