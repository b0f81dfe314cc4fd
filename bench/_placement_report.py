"""What was measured as tables: one row a scheme, one column a number of nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from bench._placement_text import Table

# As JSON: the parts by name, in each of them by number of nodes (as text), then by scheme.
Results = Mapping[str, Any]
ABSENT = "-"


def tables(results: Results) -> Iterator[Table]:
    """Yield a table for each part that was measured."""
    for part, make in (
        ("balance", _balance),
        ("balance", _exact),
        ("disruption", _moved),
        ("disruption", _unneeded),
        ("weights", _weights),
        ("cost", _single),
        ("cost", _batch),
        ("cost", _build),
        ("sizes", _sizes),
        ("points", _points),
    ):
        if results.get(part):
            yield make(results)


def _pivot(
    title: str,
    results: Results,
    part: str,
    columns: Mapping[str, Callable[[Any], str]],
    top: tuple[str, Callable[[str, str], str]] | None = None,
    notes: list[str] | None = None,
) -> Table:
    """Return a table of each column at each number of nodes; ``top`` is a row before the rest."""
    by_size = results[part]
    places = [(name, size) for name in columns for size in by_size]
    rows: dict[str, list[str]] = {}
    if top is not None:
        rows[top[0]] = [top[1](name, size) for name, size in places]
    for scheme in dict.fromkeys(name for size in by_size.values() for name in size):
        cells = [by_size[size].get(scheme) for _, size in places]
        shown = [
            ABSENT if cell is None else columns[name](cell)
            for (name, _), cell in zip(places, cells, strict=True)
        ]
        if set(shown) != {ABSENT}:
            rows[scheme] = shown
    head = ["", *(f"{name} {size}" if name else f"{size} nodes" for name, size in places)]
    marked = [[name + results["marks"].get(name, ""), *shown] for name, shown in rows.items()]
    return Table(title, head, marked, [*(notes or []), *_general(results, rows)])


def _general(results: Results, schemes: Iterable[str]) -> list[str]:
    """Return what has to be said of the schemes, and who is not among them."""
    missing = ", ".join(results["missing"])
    remarks = results["remarks"] if results["marks"].keys() & set(schemes) else []
    return [*remarks, *([f"Missing: {missing}."] if missing else [])]


def _fewer(results: Results, part: str) -> list[str]:
    """Say which schemes were measured with fewer keys, since they take long."""
    found: dict[int, dict[str, list[str]]] = {}
    for size, schemes in results[part].items():
        for name, figures in schemes.items():
            if (keys := figures["keys"]) < results["keys"]:
                found.setdefault(keys, {}).setdefault(name, []).append(size)
    if not found:
        return []
    told = "; ".join(
        f"{keys}: {', '.join(f'{name} ({_and(sizes)})' for name, sizes in found[keys].items())}"
        for keys in sorted(found, reverse=True)
    )
    return [f"Fewer keys where a look-up takes long, by numbers of nodes: {told}."]


def _and(sizes: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(sizes[:-1]), sizes[-1]]))


def _balance(results: Results) -> Table:
    chance = results["chance"]
    columns: dict[str, Callable[[Any], str]] = {
        "max": lambda each: f"{each['typical']['highest']:.2f}",
        "min": lambda each: f"{each['typical']['lowest']:.2f}",
        "CV": lambda each: f"{each['typical']['variation']:.1%}",
    }
    notes = [
        "Keys on the most and on the least loaded node, as parts of the mean, and the coefficient"
        f" of variation: the median over {results['sets']} sets of node names, over fewer where"
        " that takes long.",
        *_fewer(results, "balance"),
        *_chance_of_fewer(results),
    ]
    return _pivot(
        f"Balance over {results['keys']} keys",
        results,
        "balance",
        columns,
        ("(chance alone)", lambda name, size: columns[name]({"typical": chance[size]})),
        notes,
    )


def _chance_of_fewer(results: Results) -> list[str]:
    found = "; ".join(
        f"{keys} keys on {size} nodes: {highest:.2f}"
        for size, by_keys in results["chance_of_fewer"].items()
        for keys, highest in by_keys.items()
    )
    return [f"What chance alone gives the most loaded node then: {found}."] if found else []


def _exact(results: Results) -> Table:
    return _pivot(
        "Exact shares of the hash space: the greatest, as part of the mean",
        results,
        "balance",
        {"": lambda each: ABSENT if each["exact"] is None else f"{each['exact']:.4f}"},
        notes=["Known of tables of points; the keys lie by chance around them."],
    )


_CHANGES = {"join": "joins", "leave": "leaves", "reweight": "doubles"}


def _of_changes(shown: Callable[[Any], str]) -> dict[str, Callable[[Any], str]]:
    return {
        title: partial(_of_change, change=change, shown=shown) for change, title in _CHANGES.items()
    }


def _of_change(each: Any, change: str, shown: Callable[[Any], str]) -> str:
    if change not in each["moves"]:
        return ABSENT
    return "refused" if each["moves"][change] is None else shown(each["moves"][change])


def _share(number: float) -> str:
    """Return a share in per cent, with the digits that a million keys can tell."""
    return "0" if number == 0 else f"{number:.{1 if number > 0.1 else 2 if number > 0.01 else 3}%}"


def _moved(results: Results) -> Table:
    least = {
        (title, size): max(
            each["moves"][change]["least"] for each in schemes.values() if each["moves"].get(change)
        )
        for change, title in _CHANGES.items()
        for size, schemes in results["disruption"].items()
    }
    return _pivot(
        "Keys that move when one node joins, the middle one leaves, or doubles its weight",
        results,
        "disruption",
        _of_changes(lambda each: _share(each["moved"])),
        ("(least possible)", lambda title, size: _share(least[title, size])),
        [
            "The least possible is meant for exact shares: a node that has less than its share"
            " leaves less behind.",
            *_fewer(results, "disruption"),
        ],
    )


_UNNEEDED = (
    "0 is no key at all. Refused: the scheme has no such change; -: its library has no weights."
)


def _unneeded(results: Results) -> Table:
    return _pivot(
        "Of all keys, those that move between two nodes that did not change",
        results,
        "disruption",
        _of_changes(lambda each: _share(each["unneeded"])),
        notes=[_UNNEEDED],
    )


def _weights(results: Results) -> Table:
    return _pivot(
        "Weights 1, 2 and 3 in turn: the most loaded node as part of its due, and unneeded moves",
        results,
        "weights",
        {
            "max": lambda each: f"{each['before']['highest']:.2f}",
            **_of_changes(lambda each: _share(each["unneeded"])),
        },
        notes=[_UNNEEDED, *_fewer(results, "weights")],
    )


def _times(cost: Any) -> str:
    typical, least, most = (_short(cost["times"][each]) for each in ("typical", "least", "most"))
    return "1x" if typical == least == most == "1.0" else f"{typical}x ({least} to {most})"


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}" if number >= 1 else f"{number:.2g}"


def _time(ns: float) -> str:
    for size, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if ns >= size:
            return f"{_three(ns / size)} {unit}"
    return f"{_three(ns)} ns"


def _three(number: float) -> str:
    """Return a number below 1000 with three digits that count."""
    return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f}"


def _cost_table(results: Results, title: str, kind: str, notes: list[str] | None = None) -> Table:
    def shown(each: Any) -> str:
        if kind not in each:
            return ABSENT
        return f"{_time(each[kind]['ns']['typical'])}, {_times(each[kind])}"

    title = f"{title}; median of {results['rounds']} rounds, least and greatest"
    return _pivot(title, results, "cost", {"": shown}, notes=notes)


def _single(results: Results) -> Table:
    return _cost_table(results, "One look-up, and how many times as fast as uhashring's", "single")


def _batch(results: Results) -> Table:
    title = "A key of a list that is placed at once, and how many times as fast as one by uhashring"
    return _cost_table(results, title, "batch")


def _build(results: Results) -> Table:
    return _cost_table(
        results,
        "Building, and how many times as fast as uhashring's",
        "build",
        [
            "Those that keep a list of names build nothing. Half removed: the removals, one by one,"
            " are part of it."
        ],
    )


def _sizes(results: Results) -> Table:
    return _pivot(
        "Memory of what is built",
        results,
        "sizes",
        {"": lambda each: f"{each / 1e3:.0f} kB" if each > 1e4 else f"{each / 1e3:.1f} kB"},
        notes=[
            "By Python's allocator, the nodes included and their names not. All Slots of one"
            " process share another 524 kB, and so do all Maglev tables."
        ],
    )


def _points(results: Results) -> Table:
    rows = []
    for size, figures in results["points"].items():
        for each in figures:
            even = each["highest"]
            rows.append(
                [
                    size,
                    str(each["points"]),
                    f"{even['typical']:.3f} ({even['least']:.3f} to {even['most']:.3f})",
                    f"{each['lowest']:.3f}",
                    f"{each['variation']:.1%}",
                    _time(each["build_ms"] * 1e6),
                    f"{each['bytes'] / 1e3:.0f} kB",
                    f"{each['bytes'] / each['points'] / int(size):.1f}",
                    _time(each["node_ns"]),
                ]
            )
    return Table(
        f"HashRing: points a node, over {results['sets_of_points']} sets of names",
        [
            "nodes",
            "points",
            "max/mean (least to greatest)",
            "min/mean",
            "CV",
            "build",
            "size",
            "bytes/point",
            "node(key)",
        ],
        rows,
    )
