"""Placements that are functions of a key's position."""
