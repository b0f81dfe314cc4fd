"""How keys become positions, and positions more pseudo-random numbers."""
