"""Placement: which node owns a key, and what moves when the nodes change."""

from concordant.placement.base import Placement
from concordant.placement.bounded import Balancer, assign
from concordant.placement.functions.jump import IntJump, Jump
from concordant.placement.functions.memento import Memento
from concordant.placement.functions.rendezvous import Rendezvous
from concordant.placement.hashing.xxh64 import xxh64
from concordant.placement.nodes import Node
from concordant.placement.plan import MovedRange, Plan, Router, Step
from concordant.placement.stats import Leavers, Stats
from concordant.placement.tables.maglev import Maglev
from concordant.placement.tables.modulo import ModuloRing
from concordant.placement.tables.points import Arc
from concordant.placement.tables.ring import HashRing
from concordant.placement.tables.slots import Slots

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
    "Arc",
    "Stats",
    "Leavers",
    "Plan",
    "MovedRange",
    "Router",
    "Step",
    "Balancer",
    "assign",
    "xxh64",
]
