"""The only place where sync and async differ by hand: twins of the same names.

`aio.py` and `sync.py` define `Combiner`, `Wait`, `Scope`, `settle`, `call`, `pause` and
`current`; the generated surface swaps one module for the other.
"""
