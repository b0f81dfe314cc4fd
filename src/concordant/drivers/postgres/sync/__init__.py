# Generated from src/concordant/drivers/postgres/aio/__init__.py by tools/unasync.py; do not edit.
"""The drivers that talk to PostgreSQL, in their async form; the sync one is generated."""
