"""The stages that crash tests play on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.harness import Children
from tests.crash.theatre import Theatre


@pytest.fixture(scope="session")
def theatre() -> Iterator[Theatre]:
    """What sets up a stage for each test."""
    with Children() as children:
        yield Theatre(children)
