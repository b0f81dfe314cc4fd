"""Placement: which node owns a key, and what moves when the nodes change."""

from concordant.placement.base import Placement
from concordant.placement.bounded import Balancer, assign
from concordant.placement.hashing import xxh64
from concordant.placement.jump import IntJump, Jump
from concordant.placement.maglev import Maglev
from concordant.placement.memento import Memento
from concordant.placement.modulo import ModuloRing
from concordant.placement.nodes import Node
from concordant.placement.plan import MovedRange, Plan, Router, Step
from concordant.placement.rendezvous import Rendezvous
from concordant.placement.ring import HashRing
from concordant.placement.slots import Slots

__all__ = [
    "Placement",
    "HashRing",
    "Rendezvous",
    "Slots",
    "Memento",
    "Maglev",
    "Jump",
    "IntJump",
    "ModuloRing",
    "Node",
    "Plan",
    "MovedRange",
    "Router",
    "Step",
    "Balancer",
    "assign",
    "xxh64",
]
