"""A recoverer that claims sagas while others begin to work on them."""

from __future__ import annotations

from contextlib import closing
from typing import Final

import psycopg
import pytest

from concordant.drivers import registry
from concordant.transactions.operations import (
    Claim,
    CloseOwner,
    Create,
    Listing,
    OpenOwner,
)
from tests.fault.postgres_trouble import Meanwhile, troubled

pytestmark = pytest.mark.server

TTL_MS: Final = 60_000
# A process that starts, and takes the saga at once.
_BEGINS: Final = """
    INSERT INTO concordant_log_owner
    SELECT 'newcomer', 1, expires_us, '', changed_at_us
    FROM concordant_log_owner WHERE owner = 'claimant'"""
_TAKES: Final = "UPDATE concordant_log_record SET owner = 'newcomer', epoch = 1, version = 2"


def test_a_saga_of_somebody_who_has_just_begun_is_left_to_him() -> None:
    server = troubled()
    url = server.fresh()
    with closing(registry.transaction_log(url)) as log:
        log.apply(
            [
                OpenOwner("dead0000", TTL_MS),
                Create("g", "saga", "d/1", "", "dead0000", 1),
                CloseOwner("dead0000", 1),
            ]
        )
        log.apply([OpenOwner("claimant", TTL_MS)])
        with closing(psycopg.connect(url.partition("?")[0])) as other:
            # The claim comes to a stop before the records, and goes on after the commit.
            other.execute("LOCK TABLE concordant_log_record IN ACCESS EXCLUSIVE MODE")
            claiming = Meanwhile(lambda: log.apply([Claim("claimant", 1, 3)]))
            server.waiting("wait_event_type = 'Lock'")
            other.execute(_BEGINS)
            other.execute(_TAKES)
            other.commit()
        [claimed] = claiming.result()
        assert isinstance(claimed, Listing)
        assert claimed.records == ()
        [listing] = log.apply([Claim("claimant", 1, 3, gids=("g",))])
        assert isinstance(listing, Listing)
        assert listing.records == ()
