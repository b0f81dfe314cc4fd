"""Point tables in a tiny hash space, where ties and neighbours of one node are common."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from concordant.placement.tables.fingerprint import fingerprint
from concordant.placement.tables.points import Point, PointTable
from tests.placement_oracle import MASK, naive_preference

IDS = "abc"
# The last position is the edge of the real space, so the wrap is among the cases.
POSITIONS = [0, 1, 2, 3, 4, 5, MASK]
ALL_POINTS = [(position, IDS[slot], slot) for position in POSITIONS for slot in range(3)]
some_points = st.sets(st.sampled_from(ALL_POINTS), max_size=8)
# Slots are handed out in any order; only ids may decide a tie.
slot_orders = st.permutations(range(3))

Lists = list[list[str]]


def relabelled(points: set[Point], slots: list[int]) -> tuple[list[Point], dict[int, str]]:
    id_of = {slots[index]: IDS[index] for index in range(3)}
    return [(position, node_id, slots[slot]) for position, node_id, slot in points], id_of


def table_of(points: set[Point], slots: list[int]) -> tuple[PointTable, dict[int, str]]:
    labelled, id_of = relabelled(points, slots)
    return PointTable().including(labelled, id_of), id_of


def content(table: PointTable, id_of: dict[int, str]) -> list[tuple[int, str]]:
    return [
        (position, id_of[slot])
        for position, slot in zip(table.positions, table.owners, strict=True)
    ]


def all_lists(points: set[Point]) -> Lists:
    plain = [(position, node_id) for position, node_id, _ in points]
    return [naive_preference(plain, position) for position in [*POSITIONS, 6, MASK - 1]]


@given(some_points, some_points, slot_orders)
def test_points_come_in_order(first: set[Point], second: set[Point], slots: list[int]) -> None:
    table, id_of = table_of(first, slots)
    more, _ = relabelled(second - first, slots)
    expected = sorted((position, node_id) for position, node_id, _ in first | second)
    assert content(table.including(more, id_of), id_of) == expected
    assert len(table.owners) == len(first)


@given(some_points, some_points, slot_orders)
def test_points_leave_without_others(stay: set[Point], leave: set[Point], slots: list[int]) -> None:
    table, id_of = table_of(stay | leave, slots)
    leaving, _ = relabelled(leave - stay, slots)
    expected = sorted((position, node_id) for position, node_id, _ in stay)
    assert content(table.without(leaving), id_of) == expected


@given(some_points, slot_orders)
def test_walking_clockwise_is_the_naive_preference(points: set[Point], slots: list[int]) -> None:
    table, id_of = table_of(points, slots)
    walked = [
        [id_of[slot] for slot in table.clockwise(position)]
        for position in [*POSITIONS, 6, MASK - 1]
    ]
    assert walked == all_lists(points)


@given(some_points, slot_orders)
def test_arcs_cover_the_space_and_name_the_owner(points: set[Point], slots: list[int]) -> None:
    table, id_of = table_of(points, slots)
    plain = [(position, node_id) for position, node_id, _ in points]
    at = 0
    for start, end, slot in table.arcs():
        assert start == at < end
        for position in (start, end - 1):
            assert naive_preference(plain, position)[0] == id_of[slot]
        at = end
    assert at == (MASK + 1 if points else 0)


@given(some_points, some_points, slot_orders, slot_orders)
def test_fingerprints_are_equal_if_and_only_if_all_preference_lists_are(
    first: set[Point], second: set[Point], slots: list[int], other_slots: list[int]
) -> None:
    same = fingerprint(*table_of(first, slots)) == fingerprint(*table_of(second, other_slots))
    assert same == (all_lists(first) == all_lists(second))


@given(some_points, st.sampled_from(ALL_POINTS), slot_orders)
def test_one_more_point_shows_exactly_if_it_changes_something(
    points: set[Point], extra: Point, slots: list[int]
) -> None:
    more = points | {extra}
    same = fingerprint(*table_of(points, slots)) == fingerprint(*table_of(more, slots))
    assert same == (all_lists(points) == all_lists(more))
