"""Finds out whether a history of locks can be: `check(events)` names every contradiction.

Nobody sees the store's own order directly, so only what is certain counts, and a sound store
is never accused:

* A grant's moment lies between `asked_ns` and `known_ns`. By the store's order, grants happen
  in the order of their fences.
* A grant is one unbroken stretch of time. If it still stood at some moment after a later
  fence was known to be granted, it stood at the moment of that later grant: then the permits
  of both together must not exceed the capacity.
* Whoever was told of a fence before another one asked has the lower fence.
* The register accepts in one order (its journal). In that order fences never fall, reads see
  the last write, and no write was made from anything but the last value. Its order must also
  be that of the fences, and that of real time: linearizable by fence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from tests.history.events import Event


@dataclass(frozen=True, slots=True)
class Violation:
    """One contradiction: the rule that was broken, on which lock, and how."""

    rule: str
    lock: str
    detail: str


@dataclass(slots=True)
class Grant:
    """All that is known of one grant."""

    owner: str
    fence: int
    permits: int
    capacity: int
    asked_ns: int
    known_ns: int
    held_ns: int = 0
    ended_ns: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        return f"fence {self.fence} of {self.owner}"


def check(events: Iterable[Event]) -> list[Violation]:
    """Return every contradiction in a history; an empty list: nothing speaks against it."""
    by_lock: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        by_lock[event["lock"]].append(event)
    return [violation for lock in sorted(by_lock) for violation in _check_lock(lock, by_lock[lock])]


def rules(violations: Iterable[Violation]) -> set[str]:
    """Return the rules that were broken."""
    return {violation.rule for violation in violations}


def _check_lock(lock: str, events: list[Event]) -> list[Violation]:
    grants, found = _grants(lock, events)
    found += _check_order(lock, grants)
    found += _check_capacity(lock, grants)
    found += _check_ends(lock, events, grants)
    journal = sorted(
        (event for event in events if event["kind"] == "journal"), key=lambda event: event["seq"]
    )
    found += _check_journal(lock, journal, grants)
    found += _check_by_fence(lock, journal)
    answers = [event for event in events if event["kind"] == "register"]
    return found + _check_answers(lock, journal, answers)


def _grants(lock: str, events: list[Event]) -> tuple[list[Grant], list[Violation]]:
    """Return the grants in order of their fences, with the last moment that each stood."""
    found: list[Violation] = []
    grants: dict[tuple[int, str], Grant] = {}
    for event in events:
        key = (event["fence"], event["owner"])
        if event["kind"] != "grant" or key in grants:
            continue
        grants[key] = Grant(
            event["owner"],
            event["fence"],
            event["permits"],
            event["capacity"],
            event["asked_ns"],
            event["known_ns"],
        )
    for event in events:
        grant = grants.get((event["fence"], event["owner"]))
        if event["kind"] == "held" and grant is None:
            detail = f"fence {event['fence']} of {event['owner']} was held, yet never granted"
            found.append(Violation("held without a grant", lock, detail))
        elif event["kind"] == "held" and grant is not None:
            grant.held_ns = max(grant.held_ns, event["at_ns"])
    in_order = sorted(grants.values(), key=lambda grant: (grant.fence, grant.known_ns))
    for one, other in pairwise(in_order):
        if one.fence == other.fence:
            found.append(Violation("fence given twice", lock, f"{one}, and {other.owner}"))
    return in_order, found


def _check_order(lock: str, grants: list[Grant]) -> list[Violation]:
    """Find fences that did not rise between grants whose order in time is certain."""
    found: list[Violation] = []
    known = sorted(grants, key=lambda grant: grant.known_ns)
    newest: Grant | None = None
    position = 0
    for grant in sorted(grants, key=lambda grant: grant.asked_ns):
        while position < len(known) and known[position].known_ns < grant.asked_ns:
            earlier = known[position]
            newest = earlier if newest is None or earlier.fence > newest.fence else newest
            position += 1
        if newest is not None and newest.fence >= grant.fence:
            found.append(Violation("fence fell", lock, f"{grant} came after {newest}"))
    return found


def _check_capacity(lock: str, grants: list[Grant]) -> list[Violation]:
    """Find moments of a grant at which earlier ones still held what it was given."""
    found: list[Violation] = []
    # Once no later grant can have been made while it stood, a grant need not be looked at.
    soonest = [grant.known_ns for grant in grants]
    for index in range(len(grants) - 2, -1, -1):
        soonest[index] = min(soonest[index], soonest[index + 1])
    standing: list[Grant] = []
    for index, grant in enumerate(grants):
        standing = [earlier for earlier in standing if earlier.held_ns >= soonest[index]]
        still = [
            earlier
            for earlier in standing
            if earlier.held_ns >= grant.known_ns and earlier.fence < grant.fence
        ]
        held = grant.permits + sum(earlier.permits for earlier in still)
        if held > grant.capacity:
            those = ", ".join(map(str, still)) or "itself alone"
            detail = f"{held} of {grant.capacity} permits at the grant of {grant}: {those}"
            found.append(Violation("granted past a holder", lock, detail))
        standing.append(grant)
    return found


def _check_ends(lock: str, events: list[Event], grants: list[Grant]) -> list[Violation]:
    """Find grants that stood although the store had said that they are over."""
    known = {(grant.fence, grant.owner): grant for grant in grants}
    found: list[Violation] = []
    for event in events:
        grant = known.get((event["fence"], event["owner"]))
        if event["kind"] == "end" and grant is not None and event["at_ns"] < grant.held_ns:
            found.append(Violation("held after its end", lock, str(grant)))
    return found


def _check_journal(lock: str, journal: list[Event], grants: list[Grant]) -> list[Violation]:
    """Find what the register should not have accepted, in the order that it did."""
    found: list[Violation] = []
    known = {(grant.fence, grant.owner) for grant in grants}
    newest, value = (-1, ""), 0
    for entry in journal:
        holder, what = (entry["fence"], entry["owner"]), f"{entry['op']} at {entry['seq']}"
        if holder not in known:
            found.append(Violation("used without a grant", lock, what))
        if entry["fence"] < newest[0] or (entry["fence"] == newest[0] and holder != newest):
            found.append(Violation("stale use", lock, f"{what} came after fence {newest[0]}"))
        newest = max(newest, holder)
        if entry["what"] == "write":
            if entry["base"] != value:
                detail = f"{what} was made from {entry['base']}, not from {value}"
                found.append(Violation("lost update", lock, detail))
            value = entry["value"]
        elif entry["value"] != value:
            detail = f"{what} saw {entry['value']}, not {value}"
            found.append(Violation("stale read", lock, detail))
    return found


def _check_by_fence(lock: str, journal: list[Event]) -> list[Violation]:
    """Find reads that do not fit the order of the fences: the register's own may differ."""
    found: list[Violation] = []
    value = 0
    for entry in sorted(journal, key=lambda entry: (entry["fence"], entry["seq"])):
        if entry["what"] == "write":
            value = entry["value"]
        elif entry["value"] != value:
            detail = f"{entry['op']} saw {entry['value']}, by the fences it is {value}"
            found.append(Violation("not linearizable by fence", lock, detail))
    return found


def _check_answers(lock: str, journal: list[Event], answers: list[Event]) -> list[Violation]:
    """Find answers that contradict the journal, or an order that contradicts real time."""
    found: list[Violation] = []
    entries = {entry["op"]: entry for entry in journal}
    latest: tuple[int, str] = (0, "")
    told = {answer["op"]: answer for answer in answers}
    for answer in answers:
        entry = entries.get(answer["op"])
        if answer["accepted"] != (entry is not None):
            found.append(Violation("register denies", lock, answer["op"]))
        elif entry is not None and entry["value"] != answer["value"]:
            detail = f"{answer['op']} was told {answer['value']}, it was {entry['value']}"
            found.append(Violation("register denies", lock, detail))
    for entry in sorted(journal, key=lambda entry: (entry["fence"], entry["seq"])):
        answer = told.get(entry["op"])
        if answer is None:
            continue
        if answer["known_ns"] < latest[0]:
            detail = f"{entry['op']} was over before {latest[1]} was asked"
            found.append(Violation("not linearizable by fence", lock, detail))
        latest = max(latest, (answer["asked_ns"], entry["op"]))
    return found
