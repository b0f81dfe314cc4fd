"""Placement with bounded loads: no node has much more than its share (arXiv:1608.01350)."""

from concordant.placement.bounded.assign import assign
from concordant.placement.bounded.live import Balancer

__all__ = ["assign", "Balancer"]
