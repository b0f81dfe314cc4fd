"""Files that a command reads whole or writes."""

from __future__ import annotations

from pathlib import Path

from concordant.errors import UsageError


def read_text(file: Path, what: str) -> str:
    """Return the text of a file; raises UsageError if it cannot be read."""
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the {what} {str(file)!r}: {_reason(error)}") from error


def write_text(file: Path | None, text: str, what: str) -> None:
    """Write a file, in place of what was there, if one is named.

    Raises UsageError if it cannot be written.
    """
    if file is None:
        return
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"cannot write the {what} {str(file)!r}: {_reason(error)}") from error


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
