"""What a statement of a saga step may do: all that a plain transaction can, but not end it."""

from __future__ import annotations

import sqlite3
from typing import Final

from concordant.drivers.sqlite.policy import Policy
from concordant.drivers.sqlite.tables import GUARD_TABLE, OWN_PREFIX, Catalog

# Judged as inside a branch: what reads is free, and what ends the transaction or outlives it
# on the connection is refused.
_AS_IN_A_BRANCH: Final = frozenset(
    [
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_PRAGMA,
        sqlite3.SQLITE_TRANSACTION,
        sqlite3.SQLITE_ATTACH,
        sqlite3.SQLITE_DETACH,
    ]
)
_COLUMN_SECOND: Final = frozenset({sqlite3.SQLITE_UPDATE})


class StepPolicy(Policy):
    """The authorizer of a step's connection; `trusted` while this package itself speaks.

    `outside` holds what is temporary: it would outlive the step, so the connection must not
    serve another one.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(Catalog(0, {}, frozenset(), {}))

    def __call__(
        self, action: int, one: str | None, two: str | None, schema: str | None, by: str | None
    ) -> int:
        if self.trusted or action in _AS_IN_A_BRANCH:
            return super().__call__(action, one, two, schema, by)
        names = (one,) if action in _COLUMN_SECOND else (one, two)
        if any(_is_ours(name) for name in names):
            self.refused = self._describe(action, one, two)
            return sqlite3.SQLITE_DENY
        if schema == "temp":
            self.outside.add(one or "")
        return sqlite3.SQLITE_OK


def _is_ours(name: str | None) -> bool:
    return name is not None and name.lower().startswith(OWN_PREFIX) and name != GUARD_TABLE
