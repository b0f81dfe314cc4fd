"""Which copies of a key move when its replicas change."""

from __future__ import annotations

from collections.abc import Sequence

from concordant.placement.plan.plan import Flow

Ids = Sequence[str | None]


def copies(before: Ids, after: Ids) -> tuple[Flow, ...]:
    """Return who takes a copy from whom; as many leave as join, in order of preference."""
    leaving = [node_id for node_id in before if node_id not in after]
    joining = [node_id for node_id in after if node_id not in before]
    return tuple(zip(leaving, joining, strict=True))
