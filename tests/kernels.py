"""The two kernels side by side: the one in C, and the one in Python."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from concordant.placement import HashRing, Node
from concordant.placement.kernel import native
from concordant.placement.tables.lookup import Lookup
from concordant.placement.tables.rearrange import by_slot

if native is None:
    raise RuntimeError(
        "the kernel in C was not built: install a C compiler and Python's headers, and run"
        " `make install` again; or run the other tests of placement by CONCORDANT_KERNEL=python"
    )
LOOKUPS: dict[str, Any] = {"c": native.Lookup, "python": Lookup}
NODES = tuple(Node(f"node-{number:04}") for number in range(2000))
both = pytest.mark.parametrize("kernel", list(LOOKUPS))


def lookup_of(kernel: str, positions: list[int], owners: list[int], nodes: list[Node]) -> Any:
    """Return a look-up on these points, whose slots are places in the list of nodes."""
    made = LOOKUPS[kernel]()
    by_id = dict(sorted((node.id, node) for node in nodes))
    made._arm(array("Q", positions), array("I", owners), *by_slot(dict(enumerate(nodes)), by_id))
    return made


def lookup_like(kernel: str, ring: HashRing) -> Any:
    """Return a look-up on the points of a ring."""
    made = LOOKUPS[kernel]()
    tables = by_slot(ring._slots, ring._nodes)
    made._arm(ring._table.positions, ring._table.owners, *tables)
    return made
