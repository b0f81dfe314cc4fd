"""Drawings of placements and plans, as the text of SVG files."""

from concordant.placement.drawing.of_placement import draw_placement
from concordant.placement.drawing.of_plan import draw_plan

__all__ = ["draw_placement", "draw_plan"]
