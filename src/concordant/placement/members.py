"""Changing the nodes of a placement: what is asked, and whether it can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from concordant.errors import UsageError
from concordant.placement.nodes import Node


def changed_nodes(
    nodes: Mapping[str, Node],
    add: Iterable[Node] = (),
    remove: Iterable[str] = (),
    reweight: Mapping[str, float] | None = None,
) -> dict[str, Node]:
    """Return the nodes after the change, sorted by id.

    What leaves goes first, so that removing and adding one id replaces its node. Raises
    UsageError for an id that is there twice, or is to be removed or reweighted and is not there.
    """
    changed = dict(nodes)
    if isinstance(remove, str):
        raise UsageError(f"remove takes a list of ids, not the text {remove!r}; wrap it in a list")
    for node_id in remove:
        if changed.pop(node_id, None) is None:
            raise UsageError(f"cannot remove node {node_id!r}: there is none of that id")
    for node_id, weight in (reweight or {}).items():
        if node_id not in changed:
            raise UsageError(
                f"cannot reweight node {node_id!r}: there is none of that id that stays"
            )
        changed[node_id] = replace(changed[node_id], weight=weight)
    for node in add:
        if not isinstance(node, Node):
            raise UsageError(
                f"a placement holds Node objects, not {type(node).__name__}; use Node(id)"
            )
        if node.id in changed:
            raise UsageError(f"node {node.id!r} is there already; ids must differ")
        changed[node.id] = node
    return dict(sorted(changed.items()))
