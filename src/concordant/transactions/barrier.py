"""What a barrier lets through: one table for every database that keeps one.

A barrier is a row `(gid, step, op)` in the database that the step changes, written in the
same transaction. Under whatever repeats, delays and reorders the calls of a step, it lets
each direction happen at most once, and an action never after its compensation:

* *idempotence*: what has happened is not done again, and answers what it answered;
* *null compensation*: a compensation whose action never came is noted and does nothing;
* *no hanging*: that note keeps the action out, should it come late.

A compensation writes the action's row too, as `void`, if there is none. So both directions
meet at the one key `(gid, step, action)`, and a database that locks by key makes the second
to come wait for the first: nobody acts on what he cannot see yet.

Source: the sub-transaction barrier of dtm (Ye Dongfu, 2021), with one difference: a late
action is refused here, where dtm answers that it succeeded.
"""

from __future__ import annotations

from typing import Final, Literal

Op = Literal["action", "compensation"]

Verdict = Literal[
    "done",  # happened, and committed with the row
    "failed",  # the action said no: so it will for ever
    "void",  # a compensation came first: the action must never happen
]

Ruling = Literal[
    "run",  # write the row, and let the body do its work
    "skip",  # it has happened: answer what the row holds
    "note",  # write the rows, and do nothing: there is nothing to undo
    "refuse",  # it must not happen
]

# (op, the action's row, the compensation's row) -> ruling. A compensation leaves a row of
# the action behind in any case, so the one pair that is missing here cannot be found.
RULINGS: Final[dict[tuple[Op, Verdict | None, Verdict | None], Ruling]] = {
    ("action", None, None): "run",
    ("action", "done", None): "skip",
    ("action", "failed", None): "refuse",
    ("action", "void", None): "refuse",
    ("action", "done", "done"): "refuse",
    ("action", "failed", "done"): "refuse",
    ("action", "void", "done"): "refuse",
    ("compensation", None, None): "note",
    ("compensation", "done", None): "run",
    ("compensation", "failed", None): "note",
    ("compensation", "void", None): "note",
    ("compensation", "done", "done"): "skip",
    ("compensation", "failed", "done"): "skip",
    ("compensation", "void", "done"): "skip",
}


def judge(op: Op, action: Verdict | None, compensation: Verdict | None) -> Ruling:
    """Return what to do with a call, from the verdicts that stood before it (None: no row).

    What cannot be found but was found, since somebody has deleted rows by hand, is refused
    on the way forward; on the way back it is taken for done.
    """
    found = RULINGS.get((op, action, compensation))
    return found or ("refuse" if op == "action" else "skip")


def why_refused(action: Verdict | None, stored: str) -> str:
    """Return the reason for a refused action, `stored` being what its row holds."""
    if action == "failed":
        return stored
    return "it came after its compensation"
