"""The surface in its async form; the sync one is generated from this folder."""
