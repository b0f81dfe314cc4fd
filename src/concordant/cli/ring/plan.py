"""``ring plan``: what a change moves, from whom to whom, and in which steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from concordant.cli.options import Settings, pass_settings
from concordant.cli.output import print_facts, print_json, print_table
from concordant.cli.ring.change import Change, change_options
from concordant.cli.ring.files import write_text
from concordant.cli.ring.nodes import placement_options
from concordant.errors import UsageError
from concordant.placement import Plan
from concordant.placement.plan import Step
from concordant.placement.plan.asked import SAMPLE

_TOP = 20
_FILE = click.Path(path_type=Path)


@click.command()
@click.option(
    "--replicas",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    help="Plan for the first N nodes of each key.  [default: 1]",
)
@click.option(
    "--spread",
    type=click.Choice(["zone"]),
    help="Replicas are spread over zones; needs --replicas.",
)
@click.option(
    "--max-share",
    metavar="SHARE",
    help="Print steps, none of which moves more than this share: 0.05, or 5%.",
)
@click.option(
    "--top",
    type=click.IntRange(0),
    metavar="N",
    help="Print the N largest flows.  [default: 20; all with -o json]",
)
@click.option("--save", type=_FILE, metavar="FILE", help="Write the plan as JSON.")
@click.option("--write-ring", type=_FILE, metavar="FILE", help="Write the new placement as JSON.")
@click.option("--svg", type=_FILE, metavar="FILE", help="Write a drawing of what moves.")
@placement_options
@change_options
@pass_settings
def plan(
    settings: Settings,
    replicas: int,
    spread: str | None,
    max_share: str | None,
    top: int | None,
    save: Path | None,
    write_ring: Path | None,
    svg: Path | None,
    change: Change,
) -> None:
    """Tell what a change moves, and how much has to.

    The new placement is --to FILE, or the old one after --add, --remove and --reweight.
    """
    if spread and replicas < 2:
        raise UsageError("--spread does nothing without --replicas 2 or more; add it")
    most = None if max_share is None else _share(max_share)
    old, new = change.placements()
    made = old.plan(new, replicas, spread=spread)
    steps = None if most is None else made.steps(most)
    write_text(save, made.to_json() + "\n" if save else "", "plan")
    write_text(write_ring, new.to_json() + "\n", "ring file")
    write_text(svg, made.to_svg() if svg else "", "drawing")
    if settings.as_json:
        print_json(_as_json(made, steps, top))
    else:
        _print(made, steps, _TOP if top is None else top)


def _share(text: str) -> float:
    """Return a share that is given as a number or in percent."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise UsageError(f"cannot read {text!r} as a share; write 0.05 or 5%") from None


def _flows(plan: Plan) -> list[tuple[tuple[str | None, str | None], float]]:
    """Return who gives what to whom, the largest first."""
    matrix = plan.matrix.items()
    return sorted(matrix, key=lambda item: (-item[1], item[0][0] or "", item[0][1] or ""))


def _as_json(plan: Plan, steps: tuple[Step, ...] | None, top: int | None) -> dict[str, Any]:
    said = {
        "old_fingerprint": plan.old_fingerprint,
        "new_fingerprint": plan.new_fingerprint,
        "replicas": plan.replicas,
        "exact": plan.exact,
        "moved_share": plan.moved_share,
        "minimum_share": plan.minimum_share,
        "matrix": [
            {"from": from_id, "to": to_id, "share": share}
            for (from_id, to_id), share in _flows(plan)[:top]
        ],
    }
    if steps is None:
        return said
    # Positions are text, since some readers of JSON round large numbers.
    return {
        **said,
        "steps": [
            {"number": each.number, "start": str(each.start), "end": str(each.end)}
            | {"share": each.share}
            for each in steps
        ],
    }


def _print(plan: Plan, steps: tuple[Step, ...] | None, top: int) -> None:
    what = "keys" if plan.replicas == 1 else f"copies, {plan.replicas} a key"
    print_facts(
        [
            ("from", plan.old_fingerprint),
            ("to", plan.new_fingerprint),
            ("moves", f"{plan.moved_share:.2%} of all {what}"),
            ("minimum", f"{plan.minimum_share:.2%}, if all loads were exactly by weight"),
            ("shares", "exact" if plan.exact else f"of {SAMPLE} sampled keys"),
        ]
    )
    flows = _flows(plan)
    if flows[:top]:
        click.echo()
        rows = [(_name(flow[0]), _name(flow[1]), f"{share:.3%}") for flow, share in flows[:top]]
        print_table(("from", "to", "share"), rows)
    if rest := flows[top:]:
        total = sum(share for _, share in rest)
        click.echo(f"and {len(rest)} more flows with {total:.3%} together; --top shows more")
    if steps is not None:
        click.echo()
        _print_steps(steps)


def _print_steps(steps: tuple[Step, ...]) -> None:
    rows = [
        (step.number, f"{step.start:016x}", f"{step.end:016x}", f"{step.share:.3%}")
        for step in steps
    ]
    print_table(("step", "from position", "to position", "share"), rows)


def _name(node_id: str | None) -> str:
    return "(nobody)" if node_id is None else node_id
