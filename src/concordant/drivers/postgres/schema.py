"""The tables that concordant keeps in a user's database, each made when it is first needed."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final, LiteralString

from concordant.drivers.postgres.versions import mark

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

# What a caller was told must survive a crash of the server, whatever its default is.
DURABLE: Final[LiteralString] = (
    "SELECT set_config('synchronous_commit', 'local', true)"
    " WHERE current_setting('synchronous_commit') = 'off'"
)

# What every transaction of our own begins with, whatever the default of the role or database is:
# after waiting for rows it has to see what those have left that it waited for. The work of users
# is done at the isolation that they chose.
BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"

# CREATE TABLE IF NOT EXISTS fails when two sessions run it at once, so they take turns.
SETUP_LOCK: Final = "SELECT pg_advisory_xact_lock(7165921843300187)"

# Whoever decides, or creates a record, holds the turn (shared), and a purge passes through it
# (exclusive): what has looked at its owner's lease is in the table before anything is forgotten.
# One in the middle keeps a purge waiting, and what wants to decide behind it; not for long.
DECIDING: Final = "SELECT pg_advisory_xact_lock_shared(7165921843300188)"
DECIDED: Final = (
    "BEGIN; SET LOCAL lock_timeout = 1000; SELECT pg_advisory_xact_lock(7165921843300188); COMMIT"
)

LOG: Final = (
    """CREATE TABLE IF NOT EXISTS concordant_log_owner (
    owner text PRIMARY KEY,
    epoch bigint NOT NULL,
    expires_us bigint NOT NULL,
    note text NOT NULL,
    changed_at_us bigint NOT NULL
)""",
    """CREATE TABLE IF NOT EXISTS concordant_log_decision (
    gid text COLLATE "C" PRIMARY KEY,
    outcome text NOT NULL CHECK (outcome IN ('commit', 'abort')),
    owner text NOT NULL,
    epoch bigint NOT NULL,
    branches text NOT NULL,
    state text NOT NULL CHECK (state IN ('deciding', 'finished', 'heuristic')),
    evidence text NOT NULL,
    created_at_us bigint NOT NULL,
    changed_at_us bigint NOT NULL
)""",
    "CREATE INDEX IF NOT EXISTS concordant_log_decision_unfinished"
    " ON concordant_log_decision (gid) WHERE state <> 'finished'",
    """CREATE TABLE IF NOT EXISTS concordant_log_record (
    gid text COLLATE "C" PRIMARY KEY,
    kind text NOT NULL,
    definition text NOT NULL,
    payload text NOT NULL,
    state text NOT NULL
        CHECK (state IN ('running', 'aborting', 'committed', 'aborted', 'stuck')),
    data text NOT NULL,
    version bigint NOT NULL,
    owner text NOT NULL,
    epoch bigint NOT NULL,
    due_us bigint NOT NULL,
    evidence text NOT NULL,
    created_at_us bigint NOT NULL,
    changed_at_us bigint NOT NULL
)""",
    "CREATE INDEX IF NOT EXISTS concordant_log_record_unfinished"
    " ON concordant_log_record (gid) WHERE state NOT IN ('committed', 'aborted')",
)

LOCK: Final = """CREATE TABLE IF NOT EXISTS concordant_lock (
    name text COLLATE "C" PRIMARY KEY,
    lock jsonb NOT NULL DEFAULT '{"f": 0, "c": 1, "h": [], "w": [], "t": []}',
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
)"""
LOCK_FUNCTIONS: Final = ("lock_step.sql", "lock_apply.sql")


def lock_functions() -> tuple[str, str]:
    """Return the statements that make the lock functions, and the version they carry.

    The version names a digest of their text, and is the comment on the table: a client that
    brings other functions than it finds replaces them, unless the schema is newer than its own.
    """
    text = "\n".join((files(__package__) / name).read_text("utf-8") for name in LOCK_FUNCTIONS)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return text, mark(f", functions {digest}")


BARRIER: Final = """CREATE TABLE IF NOT EXISTS concordant_barrier (
    gid text NOT NULL,
    step text NOT NULL,
    op text NOT NULL CHECK (op IN ('action', 'compensation')),
    verdict text NOT NULL CHECK (verdict IN ('done', 'failed', 'void')),
    result text NOT NULL,
    created_us bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint,
    PRIMARY KEY (gid, step, op)
)"""
