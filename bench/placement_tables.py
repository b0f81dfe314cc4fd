"""Our placement beside its peers: balance, disruption, cost, and the points of a ring.

    make bench-placement BENCH_ARGS="--nodes 10,100 --keys 100000 --rounds 3"
    python bench/placement_tables.py [--markdown] [--json FILE] [--part balance] [--only Slots]

Schemes that take long are measured over fewer keys, and the tables say so. A library that is not
installed is named as missing, and why. Peers that need a newer Python than this one are measured by
one that the machine has, beside uhashring there; its environment is made in the folder that --newer
names. Ends with 1 if a promise about moves was broken.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._placement_cost import costs, points_tradeoff, sizes
from bench._placement_elsewhere import measured, prepared
from bench._placement_figures import Disruption, balances, chance, disruption, ids, weighted_ids
from bench._placement_report import tables
from bench._placement_schemes import BASIS, OURS, PEERS, Entrant, Scheme, loaded, versions
from bench._placement_text import as_markdown, as_text

# Beside what is installed in the environment that this runs in; none of it in the system's own.
NEWER = str(Path(sys.prefix) / "newer") if sys.prefix != sys.base_prefix else ""
HERE_ALONE = {"sizes", "points"}
PARTS = ("balance", "disruption", "weights", "cost", "sizes", "points")


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--nodes", default="10,100,1000", help="numbers of nodes, with commas between them")
    add("--keys", type=int, default=1_000_000)
    add("--rounds", type=int, default=8, help="rounds in which the cost is measured")
    add("--sets", type=int, default=5, help="sets of node names that the balance is measured with")
    add("--part", action="append", choices=PARTS, help="measure this part alone; repeatable")
    add("--only", action="append", metavar="NAME", help="measure this scheme; repeatable")
    add("--json", metavar="FILE", help="also write what was measured as JSON")
    add("--from-json", metavar="FILE", help="print what was measured before")
    add("--markdown", action="store_true", help="print Markdown")
    add("--newer", metavar="FOLDER", default=NEWER, help="environment for what is missing here")
    given = parser.parse_args(arguments)
    given.nodes = [int(each) for each in given.nodes.split(",")]
    given.part = given.part or list(PARTS)
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Return what was measured by this interpreter."""
    entrants = [each for each in (*OURS, *PEERS) if not given.only or each.name in given.only]
    schemes, missing = loaded(entrants)
    results: dict[str, Any] = {
        "kernel": kernel(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions(list(schemes)),
        "keys": given.keys,
        "rounds": given.rounds,
        "sets": given.sets,
        "sets_of_points": sets_of_points(given),
        "missing": missing,
        "remarks": [],
        "marks": {},
        **{part: {} for part in given.part},
    }
    keys = [f"user:{number:07}" for number in range(given.keys)]
    for nodes in given.nodes:
        for part in given.part:
            say(f"{part} of {nodes} nodes")
            results[part][str(nodes)] = plain(measured_part(part, schemes, nodes, keys, given))
    return results


def measured_part(
    part: str,
    schemes: Mapping[Entrant, Scheme],
    nodes: int,
    keys: Sequence[str],
    given: argparse.Namespace,
) -> Any:
    """Return the figures of one part at one number of nodes, by scheme."""
    if part == "balance":
        return {each.name: balances(way, nodes, keys, given.sets) for each, way in schemes.items()}
    if part == "disruption":
        return {each.name: disruption(way, ids(nodes), keys) for each, way in schemes.items()}
    if part == "weights":
        return with_weights(schemes, nodes, keys)
    if part == "cost":
        return costs(named(schemes), BASIS, nodes, keys, given.rounds)
    if part == "sizes":
        return sizes(named(schemes), nodes)
    return points_tradeoff(nodes, keys, sets_of_points(given), given.rounds)


def named(schemes: Mapping[Entrant, Scheme]) -> dict[str, Scheme]:
    """Return the schemes by name."""
    return {each.name: way for each, way in schemes.items()}


def with_weights(
    schemes: Mapping[Entrant, Scheme], nodes: int, keys: Sequence[str]
) -> dict[str, Disruption]:
    """Return what moves among nodes of several weights, for the schemes that take weights."""
    found = {}
    for each, way in schemes.items():
        if way.weighted:
            try:
                found[each.name] = disruption(way, weighted_ids(nodes), keys)
            except ValueError:
                continue
    return found


def sets_of_points(given: argparse.Namespace) -> int:
    """Return the sets of names for the trade-off, which is read more closely than the rest."""
    sets: int = 3 * given.sets
    return sets


def plain(value: Any) -> Any:
    """Return the value made of what JSON knows, named tuples as objects."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def kernel() -> str:
    """Return how our own placement runs here."""
    try:
        from concordant.placement.kernel import native
    except ImportError:
        return "not installed"
    return "in Python" if native is None else "in C"


def say(what: str) -> None:
    print(f"... {what}", file=sys.stderr, flush=True)


def add_newer(results: dict[str, Any], given: argparse.Namespace) -> None:
    """Add the peers that this interpreter lacks, as a newer one measures them."""
    lacking = {each.name: each.package for each in PEERS if each.name in results["missing"]}
    if not lacking or not given.newer or HERE_ALONE.issuperset(given.part):
        return
    say(f"{', '.join(lacking)} by a newer interpreter")
    arguments = ["--newer", "", "--nodes", ",".join(map(str, given.nodes))]
    for option in ("keys", "rounds", "sets"):
        arguments += [f"--{option}", str(getattr(given, option))]
    for part in given.part:
        if part not in HERE_ALONE:
            arguments += ["--part", part]
    try:
        python = prepared(Path(given.newer), {BASIS, *lacking.values()})
        other = measured(python, [BASIS, *lacking], arguments)
    except OSError as error:
        for name in lacking:
            results["missing"][name] += f"; {error}"
        return
    for name in lacking:
        if name in other["missing"]:
            results["missing"][name] += f"; {other['python']}: {other['missing'][name]}"
            continue
        del results["missing"][name]
        results["marks"][name] = " *"
        results["versions"] |= other["versions"]
        for part in set(given.part) - HERE_ALONE:
            for size, schemes in results[part].items():
                schemes |= {name: other[part][size][name]} if name in other[part][size] else {}
    if results["marks"]:
        results["remarks"].append(f"* Measured by {other['python']}, beside uhashring there.")


def add_chance(results: dict[str, Any]) -> None:
    """Add what chance alone would give, for all keys and for the fewer of slow schemes."""
    by_size = results.get("balance", {})
    results["chance"] = {size: plain(chance(int(size), results["keys"])) for size in by_size}
    results["chance_of_fewer"] = {
        size: {
            str(keys): chance(int(size), keys).highest
            for keys in sorted({each["keys"] for each in schemes.values()} - {results["keys"]})
        }
        for size, schemes in by_size.items()
    }


def broken_promises(results: Mapping[str, Any]) -> list[str]:
    """Return each change in which unneeded keys moved although the scheme promises none."""
    promised = {each.name: each.promises for each in (*OURS, *PEERS)}
    return [
        f"PROMISE BROKEN: {name} at {size} nodes, {part}, {change}: {moves['unneeded']:.4%} of the"
        " keys moved between nodes that did not change"
        for part in ("disruption", "weights")
        for size, schemes in results.get(part, {}).items()
        for name, figures in schemes.items()
        for change, moves in figures["moves"].items()
        if change in promised[name] and moves is not None and moves["unneeded"]
    ]


def main() -> int:
    given = parsed()
    if given.from_json:
        results = json.loads(Path(given.from_json).read_text("utf-8"))
    else:
        results = measure(given)
        add_newer(results, given)
        add_chance(results)
    if given.json:
        Path(given.json).write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    for table in tables(results):
        print(as_markdown(table) if given.markdown else as_text(table), end="\n\n", flush=True)
    shown = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    print(f"{results['python']}; {shown}; concordant's kernel {results['kernel']}.")
    for name, why in results["missing"].items():
        print(f"Missing, so not measured: {name} ({why}).")
    broken = broken_promises(results)
    print("\n".join(broken) or "No promise about moves was broken.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
