"""The group that the ring's commands belong to."""

from __future__ import annotations

import click

from concordant.cli.options import output_options


@click.group()
@output_options
def ring() -> None:
    """Tell which node owns a key, how even that is, and what a change moves."""
