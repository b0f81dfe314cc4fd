"""Look whether a backend has been used at all, and make nothing there."""

from __future__ import annotations

from functools import partial

import click

from concordant.cli.reach import REACH_S, within
from concordant.drivers import registry
from concordant.drivers.urls import mask


def is_there(url: str, port: str, what: str, tell: bool) -> bool:
    """Tell whether the port has been used there; with `tell`, people are told if not.

    Raises BackendUnavailable after REACH_S.
    """
    found = within(REACH_S, mask(url), partial(registry.survey, url, port))
    if tell and not found.made:
        why = f" ({found.hindrance})" if found.hindrance else ""
        click.echo(f"concordant: {mask(url)} has no {what} yet{why}", err=True)
    return found.made
