"""Short names for deep folders: a Unix socket's path ends at about 104 bytes."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from typing import Final

from concordant.errors import BackendUnavailable

# macOS has room for 104 bytes with the final NUL; a temporary socket name adds 18.
_FOLDER_BYTES_MAX: Final = 84


def short_path(folder: str) -> str:
    """Return the folder itself, or a link to it if sockets in it would have too long a path.

    The link lies in a directory that belongs to this user alone, and is named by a hash of
    the folder; each process comes to the same sockets by whichever way. Raises
    BackendUnavailable if that directory is not what it should be.
    """
    if len(os.fsencode(folder)) <= _FOLDER_BYTES_MAX:
        return folder
    private = os.path.join(tempfile.gettempdir(), f"concordant-{os.getuid()}")
    try:
        os.mkdir(private, 0o700)
    except FileExistsError:
        pass
    _check_private(private)
    link = os.path.join(private, hashlib.sha256(os.fsencode(folder)).hexdigest()[:20])
    try:
        os.symlink(folder, link)
    except FileExistsError:
        if os.readlink(link) != folder:
            raise BackendUnavailable(f"{link} leads elsewhere than {folder}; remove it") from None
    return link


def _check_private(path: str) -> None:
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise BackendUnavailable(
            f"{path} must be a directory of this user with mode 0700; remove it or set TMPDIR"
        )
