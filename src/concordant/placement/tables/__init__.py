"""Placements that are tables of points over the hash space."""
