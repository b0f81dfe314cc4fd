"""``concordant tx``: transactions in doubt, with age, owner and evidence."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click

from concordant.cli.exits import UNAVAILABLE, Failure
from concordant.cli.looking import Doubt, Picture, look, one_line
from concordant.cli.options import Command, Settings, pass_settings, shared_options, store_url
from concordant.cli.output import print_facts, print_json, print_table, seconds
from concordant.cli.present import is_there
from concordant.cli.reach import REACH_S, within
from concordant.drivers import registry
from concordant.drivers.urls import file_path, mask, scheme_of
from concordant.errors import UsageError
from concordant.sync.journal import Journal
from concordant.transactions.names import check_gid
from concordant.transactions.operations import Decision, Listing, Load, Record


def _places(command: Command) -> Command:
    """Add the log's URL and the participants'."""
    log = click.option("--log", metavar="URL", help="The transaction log.  [default: as --url]")
    participants = click.option(
        "--participant",
        "participants",
        multiple=True,
        metavar="URL",
        help="A database that took part; repeat for each. Its prepared branches are listed.",
    )
    return log(participants(shared_options(command)))


@click.group()
@shared_options
def tx() -> None:
    """See transactions that are in doubt."""


@tx.command()
@_places
@pass_settings
def ls(settings: Settings, log: str | None, participants: tuple[str, ...]) -> None:
    """List branches in doubt and whatever else is not finished.

    Looking changes nothing, and makes nothing where there is none; a coordinator that runs on
    this log recovers what it can. Exits with 69 if a participant did not answer, after listing
    what the others said.
    """
    _check_exist(participants)
    with _journal(settings, log) as journal:
        listed = journal.unfinished() if journal else Listing()
        picture = look(journal, listed, participants)
    doubts = picture.doubts()
    if settings.as_json:
        print_json({"log_id": picture.log_id, **_in_doubt(doubts, picture)})
    else:
        _print_doubts(doubts)
    _complain_of_unreached(picture)


@tx.command()
@click.argument("gid")
@_places
@pass_settings
def show(settings: Settings, gid: str, log: str | None, participants: tuple[str, ...]) -> None:
    """Show what is known of the transaction GID."""
    check_gid(gid)
    _check_exist(participants)
    with _journal(settings, log) as journal:
        listing = journal.ask(Load(gid), Listing) if journal else Listing()
        picture = look(journal, listing, participants, gid)
    listed: list[Decision | Record] = [*picture.listed.decisions, *picture.listed.records]
    known = [_about(each, picture) for each in listed]
    doubts = picture.doubts()
    if settings.as_json:
        print_json({"gid": gid, "known": known, **_in_doubt(doubts, picture)})
    else:
        if not known:
            print_facts([("gid", gid), ("decision", "none: under way, rolled back, or purged")])
        for facts in known:
            print_facts(list(_lines(facts)))
        if doubts:
            click.echo()
            _print_doubts(doubts)
    _complain_of_unreached(picture)


@contextmanager
def _journal(settings: Settings, log: str | None) -> Iterator[Journal | None]:
    """Open the log for reading, after finding out within seconds whether it answers.

    None if there is none yet.
    """
    url = log or store_url(settings, "transactions.db")
    if not is_there(url, "transaction_log", "transaction log", not settings.as_json):
        yield None
        return

    def ask() -> None:
        opened = registry.transaction_log(url)
        try:
            opened.apply([])
        finally:
            opened.close()

    within(REACH_S, mask(url), ask)
    journal = Journal(registry.transaction_log(url))
    try:
        yield journal
    finally:
        journal.close()


def _check_exist(participants: Sequence[str]) -> None:
    """Refuse a database that is not there: it was named, so it was meant to be."""
    for url in participants:
        if scheme_of(url) == "sqlite" and not os.path.exists(file_path(url)):
            raise UsageError(f"{mask(url)} does not exist, so nothing is in doubt there")


def _about(each: Decision | Record, picture: Picture) -> dict[str, Any]:
    """Return the facts of a decision or a record; a payload may hold anything, and is left out."""
    facts: dict[str, Any] = {"gid": each.gid}
    if isinstance(each, Decision):
        facts |= {"kind": "decision", "outcome": each.outcome, "state": each.state}
        facts["branches"] = [asdict(ref) for ref in each.branches]
    else:
        facts |= {"kind": each.kind, "definition": each.definition, "state": each.state}
        facts["due_in_s"] = each.due_in_ms / 1000
    facts |= {"age_s": each.age_ms / 1000, "owner": f"{each.owner}-{each.epoch}"}
    facts |= {"owner_alive": picture.lives(each.owner, each.epoch), "evidence": each.evidence}
    return facts


def _lines(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for name, value in facts.items():
        if name == "branches":
            yield from (("branch", f"{ref['branch']} at {ref['place']}") for ref in value)
        elif name.endswith("_s"):
            yield name.removesuffix("_s").replace("_", " "), seconds(value)
        elif isinstance(value, bool):
            yield name.replace("_", " "), "yes" if value else "no"
        elif value:
            yield name, one_line(value) if name == "evidence" else value


def _print_doubts(doubts: Sequence[Doubt]) -> None:
    rows = [
        (
            each.gid or "(foreign)",
            each.state,
            seconds(each.age_s),
            f"{each.owner} {'(alive)' if each.owner_alive else ''}".strip(),
            each.place,
            each.branch,
            each.evidence,
        )
        for each in doubts
    ]
    print_table(("gid", "state", "age", "owner", "place", "branch", "evidence"), rows)


def _in_doubt(doubts: Sequence[Doubt], picture: Picture) -> dict[str, Any]:
    return {"doubts": [asdict(doubt) for doubt in doubts], "unreached": picture.unreached}


def _complain_of_unreached(picture: Picture) -> None:
    """End with 69 when the list just printed may lack something."""
    if picture.unreached:
        raise Failure(UNAVAILABLE, f"not everybody answered: {'; '.join(picture.unreached)}")
