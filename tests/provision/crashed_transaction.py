"""A process that dies inside a transaction: `python crashed_transaction.py WHERE LOG A B`.

WHERE is the name of the two-phase command at which it dies, before doing it. OWNER_TTL_S in the
environment is how long it then counts as alive, 1 s unless given.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from concordant import Coordinator


def main() -> None:
    """Write into both participants, and die on the way to the commit."""
    where, log, *places = sys.argv[1:]

    def executor(machine: str, state: str, command: object, action: Callable[[], Any]) -> Any:
        if machine == "two-phase" and type(command).__name__ == where:
            os._exit(9)
        return action()

    ttl_s = float(os.environ.get("OWNER_TTL_S", "1"))
    with Coordinator(log, owner_ttl_s=ttl_s, executor=executor) as coordinator:
        with coordinator.transaction(*places, gid="gid-1") as connections:
            for connection in connections:
                connection.execute("INSERT INTO notes VALUES (1, 'one')")


if __name__ == "__main__":
    main()
