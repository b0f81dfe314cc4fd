"""Changing the nodes of a placement: what is asked, and whether it can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from concordant.errors import UsageError
from concordant.placement.nodes import Node

_LISTS = (list, tuple, set, frozenset)
_SINGLE = (str, bytes, bytearray, memoryview, Node)


def listed(values: Any, what: str) -> Iterable[Any]:
    """Return what is at hand as a list or the like, to be gone over more than once.

    ``what`` says in messages who takes a list of what. Raises UsageError for one id or node that
    is not in a list, and for what is no iterable at all.
    """
    if isinstance(values, _LISTS):
        return values
    if isinstance(values, _SINGLE):
        raise UsageError(f"{what}, not {values!r} alone; wrap it in a list")
    try:
        each = iter(values)
    except TypeError:
        raise UsageError(f"{what}, not {type(values).__name__}; pass a list") from None
    return list(each)


def named_ids(nodes: Iterable[str | Node], what: str) -> list[str]:
    """Return the ids of nodes that are named by themselves or by id.

    Raises UsageError for what is no list of these; whether there are such nodes is not asked.
    """
    ids: list[str] = []
    for node in listed(nodes, f"{what} must be a list of ids or Nodes"):
        if not isinstance(node, str | Node):
            raise UsageError(
                f"{what} must name nodes by id, which is text, or as Node, not by"
                f" {type(node).__name__}"
            )
        ids.append(node.id if isinstance(node, Node) else node)
    return ids


def changed_nodes(
    nodes: Mapping[str, Node],
    add: Iterable[Node] = (),
    remove: Iterable[str | Node] = (),
    reweight: Mapping[str, float] | None = None,
) -> dict[str, Node]:
    """Return the nodes after the change, sorted by id.

    What leaves goes first, so that removing and adding one id replaces its node. Raises
    UsageError for an id that is there twice, or is to be removed or reweighted and is not there.
    """
    changed = dict(nodes)
    for node_id in named_ids(remove, "remove"):
        if changed.pop(node_id, None) is None:
            raise UsageError(f"cannot remove node {node_id!r}: there is none of that id")
    for node_id, weight in _weights(reweight).items():
        if node_id not in changed:
            raise UsageError(
                f"cannot reweight node {node_id!r}: there is none of that id that stays"
            )
        changed[node_id] = replace(changed[node_id], weight=weight)
    for node in listed(add, "a placement takes a list of Node objects"):
        if not isinstance(node, Node):
            raise UsageError(
                f"a placement holds Node objects, not {type(node).__name__}; use Node(id)"
            )
        if node.id in changed:
            raise UsageError(f"node {node.id!r} is there already; ids must differ")
        changed[node.id] = node
    return dict(sorted(changed.items()))


def _weights(reweight: object) -> Mapping[str, float]:
    if reweight is None:
        return {}
    if not isinstance(reweight, Mapping):
        raise UsageError(
            f"reweight takes a mapping of ids to weights, not {type(reweight).__name__}; pass"
            " {id: weight}"
        )
    return reweight
