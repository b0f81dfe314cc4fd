# Generated from src/concordant/aio/__init__.py by tools/unasync.py; do not edit.
"""The surface in its async form; the sync one is generated from this folder."""
