"""The tables that concordant keeps in a user's database, each made when it is first needed."""

from __future__ import annotations

from typing import Final

META: Final = (
    "CREATE TABLE IF NOT EXISTS concordant_meta (key text PRIMARY KEY, value text NOT NULL)"
)
# Evidence that a branch has committed, or the tombstone that keeps it from ever doing so.
BRANCH: Final = """CREATE TABLE IF NOT EXISTS concordant_branch (
    branch text PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('committed', 'refused')),
    at timestamptz NOT NULL DEFAULT clock_timestamp()
)"""
GUARD: Final = """CREATE TABLE IF NOT EXISTS concordant_guard (
    name text PRIMARY KEY,
    fence bigint NOT NULL,
    owner text NOT NULL
)"""

# CREATE TABLE IF NOT EXISTS fails when two sessions run it at once, so they take turns.
SETUP_LOCK: Final = "SELECT pg_advisory_xact_lock(7165921843300187)"
