"""Which version of concordant's tables a database has: a comment on each first table tells.

A comment and no row: everybody may read it, whatever rights on tables he has.
"""

from __future__ import annotations

import re
from typing import Final, LiteralString

from concordant.errors import UsageError

# To be raised by whoever changes what stands in the tables, with a way to migrate them.
SCHEMA: Final = 1
FIND: Final[LiteralString] = "SELECT obj_description(to_regclass(%s), 'pg_class')"
_MARK: Final = re.compile(r"concordant schema (\d+)\b")


def mark(more: str = "") -> str:
    """Return the comment that a table of this version has."""
    return f"concordant schema {SCHEMA}{more}"


def marked(table: str) -> str:
    """Return the statement that leaves the mark."""
    return f"COMMENT ON TABLE {table} IS '{mark()}'"


def refuse_newer(place: str, comment: str | None) -> None:
    """Raise UsageError if the mark is that of a newer version; without any it is the first."""
    found = _MARK.match(comment or "")
    if found and int(found[1]) > SCHEMA:
        raise UsageError(
            f"{place} was written by a newer concordant (its tables have schema {found[1]}, this "
            f"version knows {SCHEMA}); upgrade this one"
        )
