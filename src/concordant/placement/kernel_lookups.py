"""The look-ups that placements are derived from: the kernel's where it is, else their twins.

A kernel that lacks one was built of older sources, and fails as this is imported. Only that of
Rendezvous may be missing: it takes a compiler with integers of 128 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from concordant.placement.kernel import native

if TYPE_CHECKING or native is None:
    from concordant.placement.functions.jump_lookup import JumpLookup
    from concordant.placement.functions.memento_lookup import MementoLookup
    from concordant.placement.tables.lookup import Lookup
else:
    JumpLookup = native.JumpLookup
    MementoLookup = native.MementoLookup
    Lookup = native.Lookup

if TYPE_CHECKING or not hasattr(native, "RendezvousLookup"):
    from concordant.placement.functions.rendezvous_lookup import RendezvousLookup
else:
    RendezvousLookup = native.RendezvousLookup

__all__ = ["JumpLookup", "Lookup", "MementoLookup", "RendezvousLookup"]
