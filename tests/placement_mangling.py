"""Texts that were written well once, and what may become of them on the way."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from tests.placement_kinds import IDS

JUNK = st.sampled_from(
    [
        *(None, True, -1, 0, 1, 2, 63, 2**64, 1.5, -0.0, float("nan"), float("inf")),
        *("", "a", IDS[0], IDS[1], "\ud800", "0" * 32, "int", "mod-md5-7", "md5", "crc16"),
        *([], {}, [[]], [None], [0], [[0, 1]], {"id": "a"}, [IDS[0]], {IDS[0]: [[0, 16383]]}),
        "[" * 2000,
    ]
)


@st.composite
def mangled(draw: st.DrawFn, told: dict[str, Any]) -> dict[str, Any]:
    """Return what is told with one or two things replaced, doubled, exchanged or left out."""
    told = copy.deepcopy(told)
    if draw(st.booleans()):
        told.pop("fingerprint", None)
    for _ in range(draw(st.integers(1, 2))):
        at: Any = told
        while True:
            places = sorted(at) if isinstance(at, dict) else range(len(at))
            if not places:
                break
            place = draw(st.sampled_from(places))
            if isinstance(at[place], dict | list) and at[place] and draw(st.booleans()):
                at = at[place]
                continue
            _mangle(draw, at, place)
            break
    return told


def _mangle(draw: st.DrawFn, at: Any, place: Any) -> None:
    how = draw(st.sampled_from(["junk", "leave out", "double", "exchange"]))
    if how == "leave out":
        del at[place]
    elif how == "double" and isinstance(at, list):
        at.insert(place, at[place])
    elif how == "double":
        at[f"{place}x"] = at[place]
    elif how == "exchange" and isinstance(at, list):
        other = draw(st.sampled_from(range(len(at))))
        at[place], at[other] = at[other], at[place]
    else:
        at[place] = copy.deepcopy(draw(JUNK))
