"""The text of SVG: elements, escaped text, numbers, and how wide letters are."""

from __future__ import annotations

from collections.abc import Iterable
from unicodedata import east_asian_width

INK = "#1f2328"
# Of least contrast 6 to 1 on white, so that it is read by whoever reads the ink.
FAINT = "#57606a"
TRACK = "#e4e8ec"
LINE = "#8c959f"

TIMES = "\N{MULTIPLICATION SIGN}"
_NOTE = 12

# No letter of the usual fonts is wider on average.
_NARROW_EM, _WIDE_EM = 0.6, 1.05

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})

_STYLE = (
    "text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;"
    f"fill:{INK}}}"
    f".faint{{fill:{FAINT}}}"
    # Whatever the pointer rests on stands out from the others of its kind.
    ".each:hover .one{opacity:.15}.each:hover .one:hover{opacity:1}"
)


def escaped(text: str) -> str:
    """Return text that is harmless and valid in XML, as content and as an attribute.

    What is not printable, such as control characters and those that turn the direction of
    writing, becomes U+FFFD: XML has no place for most of it.
    """
    shown = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return shown.translate(_ESCAPES)


def number(value: float) -> str:
    """Return a coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if value else "0"


def element(name: str, content: str = "", **attributes: str | float) -> str:
    """Return an element; ``content`` is markup, and attributes are escaped.

    An underscore in the name of an attribute stands for a hyphen, one at its end for nothing.
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{said}>{content}</{name}>" if content else f"<{name}{said}/>"


def _value(value: str | float) -> str:
    return escaped(value) if isinstance(value, str) else number(value)


def text(content: str, x: float, y: float, size: float, **attributes: str | float) -> str:
    """Return a line of text."""
    return element("text", escaped(content), x=x, y=y, font_size=size, **attributes)


def titled(title: str, *content: str) -> str:
    """Return a group that stands out under the pointer, with a text that appears there."""
    return element("g", element("title", escaped(title)) + "".join(content), class_="one")


def document(width: float, height: float, name: str, title: str, desc: str, body: str) -> str:
    """Return the whole text of a drawing on white, with a title and a description.

    ``name`` sets its ids apart from those of other drawings on one page.
    """
    head = (
        element("title", escaped(title), id=f"{name}-title")
        + element("desc", escaped(desc), id=f"{name}-desc")
        + element("style", _STYLE)
        + element("rect", width=width, height=height, fill="#ffffff")
    )
    return (
        element(
            "svg",
            head + body,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {number(width)} {number(height)}",
            width=width,
            height=height,
            role="img",
            aria_labelledby=f"{name}-title {name}-desc",
        )
        + "\n"
    )


def width_of(content: str, size: float) -> float:
    """Return about how wide a line of text is, rather too much than too little."""
    wide = sum(east_asian_width(char) in "WF" for char in content)
    return size * (wide * _WIDE_EM + (len(content) - wide) * _NARROW_EM)


def fitted(content: str, width: float, size: float) -> str:
    """Return text that fits into a width: what is too long loses its middle.

    Names of hosts differ at their ends as often as at their beginnings.
    """
    if width_of(content, size) <= width:
        return content
    keep = len(content) - 1
    while keep > 1:
        head = (keep + 1) // 2
        shorter = f"{content[:head]}…{content[len(content) - (keep - head) :]}"
        if width_of(shorter, size) <= width:
            return shorter
        keep -= 1
    return "…"


def short(content: str) -> str:
    """Return text that is not too long for what appears under the pointer, or is read out."""
    return fitted(content, 48 * _NARROW_EM, 1)


def percent(share: float) -> str:
    """Return a share as people read it: 12.3 %, 1.23 %, 0.12 %, 0.012 %."""
    value = share * 100
    if value == 0 or value >= 99.95:
        return f"{value:.0f} %"
    for least, decimals in ((9.995, 1), (0.0995, 2), (0.001, 3)):
        if value >= least:
            return f"{value:.{decimals}f} %"
    return f"{value:.1g} %"


def notes(lines: Iterable[str], x: float, y: float, width: float) -> tuple[str, float]:
    """Return paragraphs of small text, broken at a width, and where they end below."""
    drawn: list[str] = []
    for line in lines:
        words = line.split(" ")
        while words:
            fit = next(
                (
                    count
                    for count in range(len(words), 1, -1)
                    if width_of(" ".join(words[:count]), _NOTE) <= width
                ),
                1,
            )
            y += 17
            drawn.append(text(" ".join(words[:fit]), x, y, _NOTE, class_="faint"))
            words = words[fit:]
    return "".join(drawn), y
