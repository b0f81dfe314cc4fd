"""Placements as texts, as values and among threads and processes, whatever their algorithm."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concordant.errors import UsageError
from concordant.placement import HashRing, Jump, Node, Placement
from tests.placement_kinds import KINDS, Kind, every_kind, lists_of, owners_of
from tests.placement_mangling import mangled

# Seconds of processes, waits or examples: more than daily use waits for.
pytestmark = pytest.mark.slow

SCRIPT = """
from concordant.placement import Node
from tests.placement_kinds import KINDS, NUMBERS, lists_of
for name, kind in KINDS.items():
    placement = kind.make(set(kind.nodes(7)))
    placement = placement.with_nodes(remove=set(kind.leavers(placement)[-3:]))
    placement = placement.with_nodes(add={Node(f"new{number}:1") for number in range(3)})
    print(name, placement.to_json(), lists_of(placement, [*kind.keys, *NUMBERS[:60]]))
    print(placement.plan(kind.placement(3)).moves(NUMBERS))
"""


def changed(kind: Kind) -> Placement:
    """Return a placement that has been through changes."""
    placement = kind.placement(6, zoned=True).with_nodes()
    return placement.with_nodes(remove=kind.leavers(placement)[-1:])


def assert_same(twin: Placement, placement: Placement, kind: Kind) -> None:
    assert type(twin) is type(placement)
    assert twin == placement
    assert hash(twin) == hash(placement)
    assert (twin.epoch, list(twin)) == (placement.epoch, list(placement))
    assert twin.to_json() == placement.to_json()
    assert lists_of(twin, kind.keys) == lists_of(placement, kind.keys)
    # What comes next follows from what was written, too.
    assert twin.with_nodes().to_json() == placement.with_nodes().to_json()


@every_kind
def test_what_is_written_is_read_back_exactly(kind: Kind) -> None:
    for placement in (changed(kind), kind.placement(1), kind.placement(0)):
        for read in (Placement.from_json, type(placement).from_json):
            assert_same(read(placement.to_json()), placement, kind)
    told = json.loads(changed(kind).to_json())
    assert {node["zone"] for node in told["nodes"]} > {None, "x"}
    assert all(node["address"] == f"redis://user:hunter2@{node['id']}" for node in told["nodes"])
    assert told["fingerprint"] == changed(kind).fingerprint()


@every_kind
def test_a_placement_survives_pickle_and_copy(kind: Kind) -> None:
    placement = changed(kind)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert_same(pickle.loads(pickle.dumps(placement, protocol)), placement, kind)
    assert_same(copy.copy(placement), placement, kind)
    assert_same(copy.deepcopy(placement), placement, kind)


@every_kind
def test_a_text_of_another_class_is_refused(kind: Kind) -> None:
    text = kind.placement(2).to_json()
    other = Jump if isinstance(kind.placement(2), HashRing) else HashRing
    with pytest.raises(UsageError, match=r"Placement\.from_json"):
        other.from_json(text)


@every_kind
def test_a_text_that_denies_its_fingerprint_is_refused(kind: Kind) -> None:
    told = json.loads(kind.placement(3).to_json())
    wrong = json.dumps({**told, "fingerprint": "0" * 32})
    with pytest.raises(UsageError, match="fingerprint"):
        Placement.from_json(wrong)
    for without in (json.dumps({**told, "fingerprint": None}), json.dumps(told)):
        assert Placement.from_json(without) == kind.placement(3)
    with pytest.raises(UsageError, match="hash"):
        Placement.from_json(json.dumps({**told, "hash": "md4", "fingerprint": None}))


def check_hostile(kind: Kind, data: st.DataObject) -> None:
    text = json.dumps(data.draw(mangled(json.loads(changed(kind).to_json()))))
    refusal = ""
    try:
        placement = Placement.from_json(text)
    except UsageError as error:
        refusal = str(error)
    assert "hunter2" not in refusal
    if refusal:
        return
    for key in (0, 2**64 - 1):
        for spread in (None, "zone"):
            found = placement.nodes(key, len(placement), spread=spread)
            assert {node.id for node in found} == set(placement.nodes_by_id)
    assert Placement.from_json(placement.to_json()).to_json() == placement.to_json()
    assert list(placement.with_nodes()) == list(placement)


@every_kind
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_a_hostile_text_is_refused_or_makes_a_sound_placement(
    kind: Kind, data: st.DataObject
) -> None:
    check_hostile(kind, data)


@pytest.mark.slow
@every_kind
@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_many_hostile_texts(kind: Kind, data: st.DataObject) -> None:
    check_hostile(kind, data)


@given(st.text(max_size=60) | st.text('[]{}":,0en', max_size=40), st.integers(0, 400))
@settings(max_examples=40, deadline=None)
def test_any_text_is_refused(noise: str, at: int) -> None:
    text = KINDS["memento"].placement(2).to_json()
    for broken in (noise, text[:at], text[:at] + noise + text[at:]):
        if broken.strip() != text:
            try:
                read = Placement.from_json(broken)
            except UsageError:
                continue
            # Noise within an id, an address or a number is another placement, written well.
            assert read.to_json() != text or json.loads(broken) == json.loads(text)
    for wrong in (None, b"{}", 7, "[" * 100_000):
        with pytest.raises(UsageError):
            Placement.from_json(wrong)  # type: ignore[arg-type]


@every_kind
def test_placements_are_values(kind: Kind) -> None:
    placement = kind.placement(4)
    dressed = kind.make(Node(node.id, node.weight, "zone", "address") for node in placement)
    assert dressed == placement
    assert len({placement, dressed, placement.with_nodes()}) == 1
    assert placement != kind.placement(3)
    assert len({placement, kind.placement(3), kind.placement(2)}) == 3
    assert placement != placement.fingerprint()
    assert len(placement.fingerprint()) == 32
    assert set(placement.fingerprint()) <= set("0123456789abcdef")
    with pytest.raises(AttributeError):
        placement.epoch = 7  # type: ignore[misc]


@every_kind
def test_a_repr_is_short_and_keeps_addresses_to_itself(kind: Kind) -> None:
    for count in (0, 1, 7):
        placement = kind.placement(count, zoned=True).with_nodes()
        assert "hunter2" not in repr(placement)
        assert "fingerprint" not in repr(placement)
        assert f"fingerprint={placement.fingerprint()}>" in repr(placement)
        assert f"{count} nodes" in repr(placement)
        assert "epoch=1" in repr(placement)
        assert len(repr(placement)) < 250


@every_kind
def test_threads_share_a_placement(kind: Kind) -> None:
    expected = kind.placement(6)
    answers = owners_of(expected, kind.keys), lists_of(expected, kind.keys), expected.to_json()
    fresh = kind.placement(6)
    start = Barrier(4)

    def ask(_: int) -> object:
        start.wait(10)
        return owners_of(fresh, kind.keys), lists_of(fresh, kind.keys), fresh.to_json()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, range(4))) == [answers] * 4


def test_another_process_agrees_under_another_hash_seed_and_kernel(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = {"PYTHONHASHSEED": "4711", "CONCORDANT_KERNEL": "python"}
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **told, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stderr == ""
    exec(SCRIPT, {})
    assert done.stdout == capsys.readouterr().out
    assert done.stdout.count("\n") == 2 * len(KINDS)
