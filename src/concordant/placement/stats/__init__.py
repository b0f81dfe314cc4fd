"""Figures about a placement: who owns how much, and who would take it over."""

from concordant.placement.stats.owned import shares
from concordant.placement.stats.stats import Leavers, Stats, stats_of

__all__ = ["Leavers", "Stats", "shares", "stats_of"]
