"""Colours for nodes."""

from __future__ import annotations

from collections.abc import Iterable

# The palette of Okabe and Ito, which readers of every kind of colour vision tell apart; black
# is grey here, since text is black.
_PALETTE = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#56b4e9",
    "#cc79a7",
    "#f0e442",
    "#5a5f66",
)
NOBODY = "#b1b8c0"

# Lightness is seen by everyone: the same hues again, darker and lighter.
_SHADES = ((0, 0.0), (0, 0.45), (255, 0.55))


def colours_of(ids: Iterable[str]) -> dict[str, str]:
    """Return a colour for each id: all different up to 23 of them, then over again."""
    made = [_shaded(colour, *shade) for shade in _SHADES for colour in _PALETTE]
    made.pop()  # the lighter grey is that of nobody
    return {node_id: made[place % len(made)] for place, node_id in enumerate(ids)}


def _shaded(colour: str, towards: int, part: float) -> str:
    channels = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    mixed = (round(channel + (towards - channel) * part) for channel in channels)
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
