"""Which node is in which zone, where a plan depends on it."""

from __future__ import annotations

from concordant.placement.base import Placement
from concordant.placement.digest import digest_of


def zones_of(placement: Placement, spread: str | None) -> str | None:
    """Return what is equal if and only if ids and zones are; None if replicas ignore zones.

    Zones are no part of a placement's fingerprint, for they place no key's owner.
    """
    if spread is None:
        return None
    told = (
        part for node in placement for part in (node.id, "" if node.zone is None else node.zone)
    )
    return digest_of((b"zones", *(part.encode("utf-8") for part in told)))
