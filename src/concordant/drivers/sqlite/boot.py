"""Which boot of the machine this is: a clock that counts from boot means nothing in another."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Final

from concordant.errors import GuaranteeUnavailable

_LINUX: Final = "/proc/sys/kernel/random/boot_id"


@cache
def boot_id() -> str:
    """Return an id that changes with every boot of this machine.

    Raises GuaranteeUnavailable where the system has none: a lease kept from before a boot
    could then seem to last for as long as the machine had been up.
    """
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        try:
            found = subprocess.run(command, capture_output=True, text=True, timeout=5).stdout
        except (OSError, subprocess.SubprocessError):
            found = ""
    else:
        try:
            with open(_LINUX, encoding="ascii") as file:
                found = file.read()
        except OSError:
            found = ""
    if not found.strip():
        raise GuaranteeUnavailable(
            "this system does not tell one boot from another, so leases in a file could outlive"
            " it; use a server such as redis:// or postgresql://"
        )
    return found.strip()
