"""Which participants and which log the crash tests put together, from the backends we have."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any, Final

import pytest

from tests.crash.stage import Combo
from tests.provision.backend import Backend
from tests.provision.backends import offering

PARTICIPANTS: Final = offering("participant")
# A log inside a process dies with it, and nobody else ever recovers by it.
LOGS: Final = [log for log in offering("transaction_log") if log.promises.across_processes]

# One backend on both sides, and each two of them mixed.
PAIRS: Final[list[tuple[Backend, Backend]]] = list(combinations_with_replacement(PARTICIPANTS, 2))
COMBOS: Final = [Combo(pair, log) for pair in PAIRS for log in LOGS]


def param(combo: Combo, *more: Any, name: str = "") -> Any:
    """Return a pytest parameter for the combination, marked if it needs a server."""
    backends = (*combo.participants, combo.log)
    marks = [pytest.mark.server] if any(backend.needs_server for backend in backends) else []
    parts = [str(combo), *([name] if name else [])]
    return pytest.param(combo, *more, id="-".join(parts), marks=marks)
