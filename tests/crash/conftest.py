"""The children, and the combinations of participants and log that every crash test runs on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.harness import Children


@pytest.fixture(scope="session")
def children() -> Iterator[Children]:
    """What starts child processes."""
    with Children() as started:
        yield started
