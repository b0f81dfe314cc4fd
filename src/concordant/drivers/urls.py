"""Backend URLs: their scheme, their path, and a form that is safe to print."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

from concordant.errors import UsageError

_SECRETS = {"password", "passwd", "sslpassword", "token", "secret"}


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except (ValueError, TypeError, AttributeError):
        raise UsageError("a backend is named by a URL such as sqlite:///path") from None
    if not parts.scheme or "://" not in url:
        raise UsageError("a backend is named by a URL such as sqlite:///path")
    return parts


def scheme_of(url: str) -> str:
    """Return the URL's scheme in lower case; raises UsageError if it is not a URL."""
    return _split(url).scheme.lower()


def mask(url: str) -> str:
    """Return the URL without user, password or secret parameters, safe to print."""
    try:
        parts = _split(url)
    except UsageError:
        return "(not a URL)"
    host = parts.netloc.rpartition("@")[2]
    query = "&".join(
        f"{key}={'***' if key.lower() in _SECRETS else value}"
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
    )
    if not host:
        # urlunsplit would write sqlite:/path for an empty host.
        return f"{parts.scheme}://{parts.path}" + (f"?{query}" if query else "")
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


def file_path(url: str) -> str:
    """Return the file path of a URL such as sqlite:///dir/file or sqlite:///./file.

    sqlite:///x.db is the relative x.db only when written sqlite:///./x.db; three slashes
    start an absolute path. Raises UsageError when there is a host or no path.
    """
    parts = _split(url)
    if parts.netloc:
        raise UsageError(f"{mask(url)}: a file URL has three slashes, as in sqlite:///dir/file")
    path = unquote(parts.path)
    if path.startswith("/./"):
        path = path[3:]
    if not path or path.endswith("/"):
        raise UsageError(f"{mask(url)} names no file")
    if "\0" in path:
        raise UsageError("a path has no NUL")
    return path


def parameters(url: str, allowed: frozenset[str]) -> dict[str, str]:
    """Return the URL's query parameters; an unknown one raises UsageError."""
    found = dict(parse_qsl(_split(url).query, keep_blank_values=True))
    unknown = sorted(set(found) - allowed)
    if unknown:
        choice = f"; known are {', '.join(sorted(allowed))}" if allowed else ""
        raise UsageError(f"{mask(url)}: unknown parameter {unknown[0]}{choice}")
    return found
