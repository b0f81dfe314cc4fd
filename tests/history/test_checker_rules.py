"""Small histories written by hand: each rule of the checker, broken alone, and barely kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.history.checker import check, rules
from tests.history.events import Event, Recorder, read
from tests.history.register import Register, Stale


def grant(owner: str, fence: int, asked: int, known: int, **more: int) -> Event:
    return {
        "kind": "grant",
        "lock": "a",
        "owner": owner,
        "fence": fence,
        "permits": more.get("permits", 1),
        "capacity": more.get("capacity", 1),
        "asked_ns": asked,
        "known_ns": known,
    }


def moment(kind: str, owner: str, fence: int, at: int) -> Event:
    return {"kind": kind, "lock": "a", "owner": owner, "fence": fence, "at_ns": at}


def journal(seq: int, what: str, owner: str, fence: int, value: int, base: int = 0) -> Event:
    return {
        "kind": "journal",
        "lock": "a",
        "seq": seq,
        "op": f"op{seq}",
        "what": what,
        "owner": owner,
        "fence": fence,
        "value": value,
        "base": base,
    }


def answer(of: Event, asked: int, known: int, **other: object) -> Event:
    more = {"kind": "register", "accepted": True, "asked_ns": asked, "known_ns": known}
    return {**of, **more, **other}


A, B = grant("a", 1, 0, 10), grant("b", 2, 20, 30)
READ_A, WRITE_A = journal(1, "read", "a", 1, 0), journal(2, "write", "a", 1, 1, 0)
READ_B, WRITE_B = journal(3, "read", "b", 2, 1), journal(4, "write", "b", 2, 2, 1)
# What it reads where nobody has written before.
EARLY_B = READ_B | {"value": 0}

SOUND: dict[str, list[Event]] = {
    "nothing": [],
    "one after the other": [A, moment("held", "a", 1, 15), moment("end", "a", 1, 16), B],
    "held until just before the next was known": [A, moment("held", "a", 1, 29), B],
    "known late, in the other order": [grant("a", 1, 0, 50), grant("b", 2, 20, 30)],
    "asked at the same time, fences either way": [grant("a", 2, 0, 9), grant("b", 1, 5, 8)],
    "a semaphore that is full": [
        grant("a", 1, 0, 1, capacity=3, permits=2),
        moment("held", "a", 1, 99),
        grant("b", 2, 2, 3, capacity=3),
    ],
    "the register in order": [A, B, READ_A, WRITE_A, READ_B, WRITE_B],
    "an answer that was never recorded": [A, WRITE_A],
    "a refusal": [A, B, READ_A, answer({**WRITE_A, "value": None}, 1, 2, accepted=False)],
    "answers that overlap": [
        *(A, B, READ_A, EARLY_B),
        *(answer(READ_A, 50, 60), answer(EARLY_B, 40, 55)),
    ],
    "two locks": [A, moment("held", "a", 1, 99), B | {"lock": "b"}],
}

BROKEN: dict[str, tuple[list[Event], str]] = {
    "still held when the next was known": (
        [A, moment("held", "a", 1, 30), B],
        "granted past a holder",
    ),
    "still held after many more": (
        [A, moment("held", "a", 1, 500)]
        + [grant("c", fence, 100 * fence, 100 * fence + 1) for fence in range(3, 8)],
        "granted past a holder",
    ),
    "a semaphore too full": (
        [
            grant("a", 1, 0, 1, capacity=3, permits=2),
            moment("held", "a", 1, 99),
            grant("b", 2, 2, 3, capacity=3, permits=2),
        ],
        "granted past a holder",
    ),
    "a reader beside the writer": (
        [
            grant("w", 1, 0, 1, permits=9, capacity=9),
            moment("held", "w", 1, 9),
            grant("r", 2, 2, 3, capacity=9),
        ],
        "granted past a holder",
    ),
    "more than there is": ([grant("a", 1, 0, 1, permits=2)], "granted past a holder"),
    "the same fence for two": ([A, grant("b", 1, 20, 30)], "fence given twice"),
    "a fence that falls": ([grant("a", 7, 0, 10), grant("b", 6, 11, 12)], "fence fell"),
    "a fence that falls far later": (
        [grant("a", 9, 0, 10), grant("b", 2, 0, 300), grant("c", 3, 301, 302)],
        "fence fell",
    ),
    "held after the store said no": (
        [A, moment("end", "a", 1, 12), moment("held", "a", 1, 13)],
        "held after its end",
    ),
    "held without a grant": ([A, moment("held", "b", 1, 13)], "held without a grant"),
    "an older holder's write": ([A, B, READ_B | {"value": 0}, WRITE_A | {"seq": 5}], "stale use"),
    "another holder of the same fence": (
        [A, grant("b", 1, 0, 10), READ_A, journal(2, "write", "b", 1, 1, 0)],
        "stale use",
    ),
    "a write from an old value": (
        [A, B, READ_A, WRITE_A, READ_B, WRITE_B | {"base": 0}],
        "lost update",
    ),
    "a read of an old value": ([A, B, WRITE_A, READ_B | {"value": 0}], "stale read"),
    "another order than that of the fences": (
        [A, B, READ_B | {"seq": 1, "value": 0}, journal(2, "write", "a", 1, 1, 0)],
        "not linearizable by fence",
    ),
    "another order than that of time": (
        [A, B, READ_A, EARLY_B, answer(READ_A, 50, 60), answer(EARLY_B, 30, 40)],
        "not linearizable by fence",
    ),
    "used by one who was never granted": ([READ_A], "used without a grant"),
    "an answer that the register does not know": (
        [A, READ_A, answer(WRITE_A, 1, 2)],
        "register denies",
    ),
    "a refusal of what was accepted": (
        [A, READ_A, answer(READ_A, 1, 2, accepted=False)],
        "register denies",
    ),
    "an answer with another value": ([A, READ_A, answer(READ_A, 1, 2, value=5)], "register denies"),
}


@pytest.mark.parametrize("what", list(SOUND))
def test_a_sound_history_is_not_accused(what: str) -> None:
    assert check(SOUND[what]) == []
    assert check(reversed(SOUND[what])) == []


@pytest.mark.parametrize("what", list(BROKEN))
def test_a_broken_history_is_found(what: str) -> None:
    history, rule = BROKEN[what]
    assert rule in rules(check(history))
    assert rule in rules(check(list(reversed(history))))


def test_every_rule_is_broken_by_some_history() -> None:
    source = Path(str(check.__code__.co_filename)).read_text("utf-8")
    known = {
        line.split('Violation("')[1].split('"')[0]
        for line in source.splitlines()
        if 'Violation("' in line
    }
    assert known == {rule for _, rule in BROKEN.values()}


def test_events_survive_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    recorder = Recorder(path)
    recorder("held", "lück", "o.1", 5, at_ns=7)
    recorder.close()
    with path.open("a") as file:
        file.write(json.dumps(A)[:20])
    event = {"kind": "held", "lock": "lück", "owner": "o.1", "fence": 5, "at_ns": 7}
    assert read([path]) == [event]


def test_the_register_takes_newer_fences_and_its_own_holder_alone(tmp_path: Path) -> None:
    used = Register(tmp_path / "register.db")
    assert used.read("a", "one", 5, "1") == 0
    assert used.write("a", "one", 5, "2", 10, 0) == 10
    assert used.read("a", "two", 6, "3") == 10
    for owner, fence in (("one", 5), ("two", 5), ("one", 6)):
        with pytest.raises(Stale):
            used.write("a", owner, fence, "4", 99, 10)
    assert used.write("a", "two", 6, "4", 11, 10) == 11
    assert used.read("b", "one", 1, "5") == 0
    assert [entry["op"] for entry in used.journal()] == ["1", "2", "3", "4", "5"]
    used.close()
