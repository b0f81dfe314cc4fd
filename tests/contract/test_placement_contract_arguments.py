"""Arguments of the wrong kind: each is refused by what says what to do, by every algorithm."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from concordant.errors import UsageError
from concordant.placement import Node, Placement, Slots
from tests.placement_kinds import Kind, every_kind, ids_of

NO_LISTS: list[Any] = ["a", b"a", bytearray(b"a"), memoryview(b"a"), Node("a"), 5, 1.5, object()]
NO_NODES: list[Any] = [["a"], {"a"}, b"a", 5, None, ("a",)]


class Odd:
    """What raises an error of its own when it is gone over."""

    def __iter__(self) -> Any:
        raise KeyError("mine")


@every_kind
def test_what_is_no_list_of_nodes_to_exclude_is_refused(kind: Kind) -> None:
    placement, key = kind.placement(3), kind.keys[0]
    for exclude in (*NO_LISTS, *([each] for each in NO_NODES)):
        for spread in (None, "zone"):
            with pytest.raises(UsageError, match=r"exclude must .*(list|text)"):
                placement.nodes(key, 1, spread=spread, exclude=exclude)


@every_kind
def test_what_is_no_list_of_nodes_to_remove_is_refused(kind: Kind) -> None:
    placement = kind.placement(3)
    for remove in (*NO_LISTS, None, *([each] for each in NO_NODES)):
        with pytest.raises(UsageError, match=r"remove must .*(list|text)"):
            placement.with_nodes(remove=remove)


@every_kind
def test_what_is_no_list_of_nodes_to_add_is_refused(kind: Kind) -> None:
    placement = kind.placement(3)
    make: Any = type(placement)
    for add in (*NO_LISTS, None):
        with pytest.raises(UsageError, match="list of Node objects"):
            placement.with_nodes(add=add)
        with pytest.raises(UsageError, match="list of Node objects"):
            make(add)
    for each in (*NO_NODES, "a"):
        with pytest.raises(UsageError, match=r"use Node\(id\)"):
            placement.with_nodes(add=[each])


@every_kind
def test_what_is_no_mapping_of_weights_is_refused(kind: Kind) -> None:
    reweight: Any
    for reweight in ([("a", 2)], [], "a", 5, Node("a")):
        with pytest.raises(UsageError, match=r"\{id: weight\}"):
            kind.placement(3).with_nodes(reweight=reweight)


@every_kind
def test_an_error_of_the_argument_itself_goes_on(kind: Kind) -> None:
    odd: Any = Odd()
    with pytest.raises(KeyError, match="mine"):
        kind.placement(3).with_nodes(remove=odd)


@every_kind
def test_nodes_are_removed_by_themselves_as_well_as_by_id(kind: Kind) -> None:
    placement = kind.placement(3)
    leaver = kind.leavers(placement)[-1]
    after = placement.with_nodes(remove=iter([placement.nodes_by_id[leaver]]))
    assert after.to_json() == placement.with_nodes(remove=[leaver]).to_json()
    assert leaver not in ids_of(after)


@every_kind
def test_what_is_no_id_is_not_there(kind: Kind) -> None:
    placement = kind.placement(3)
    for item in ([], {}, 5, None, b"h1:11211", ["h1:11211"]):
        assert item not in placement
        with pytest.raises(UsageError, match="could leave"):
            placement.stats().heirs(item)  # type: ignore[arg-type]


def test_what_is_no_list_of_owners_is_refused() -> None:
    nodes = [Node("a"), Node("b")]
    for owners in (*NO_LISTS, None, *([each] for each in NO_NODES)):
        with pytest.raises(UsageError, match=r"owners must .*(list|text)"):
            Slots.assigned(nodes, owners)
    assert Slots.assigned(nodes, iter(nodes)).owners == ["a", "b"]


def derived(kind: Kind) -> type[Placement]:
    """Return a class of this module that is derived from the algorithm's."""
    base = type(kind.placement(1))
    made = type(f"My{base.__name__}", (base,), {"__slots__": (), "__module__": __name__})
    globals()[made.__name__] = made
    return made


@every_kind
def test_a_derived_class_survives_pickle_copy_and_json(kind: Kind) -> None:
    placement, mine = kind.placement(3), derived(kind)
    text = placement.to_json()
    read = mine.from_json(text)
    for twin in (read, pickle.loads(pickle.dumps(read)), copy.copy(read), copy.deepcopy(read)):
        assert type(twin) is mine
        assert twin == placement
        assert twin.to_json() == text
        assert type(twin.with_nodes()) is mine
    assert type(type(placement).from_json(read.to_json())) is type(placement)
