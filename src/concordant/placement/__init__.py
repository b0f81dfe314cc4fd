"""Placement: which node owns a key, and what moves when the nodes change."""

from concordant.placement.hashing import xxh64
from concordant.placement.nodes import Node
from concordant.placement.plan import Plan
from concordant.placement.ring import HashRing

__all__ = ["HashRing", "Node", "Plan", "xxh64"]
