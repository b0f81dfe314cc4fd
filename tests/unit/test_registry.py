"""From a URL to its driver: what is imported for it, and what is said when that fails."""

from __future__ import annotations

import subprocess
import sys

import pytest

from concordant.drivers import registry
from concordant.errors import GuaranteeUnavailable, UsageError

# What an extra installs is missing where Python is told that it is.
_WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
from concordant.drivers import registry
from concordant.errors import ConcordantError
try:
    getattr(registry, sys.argv[2])(sys.argv[3])
except ConcordantError as error:
    print(type(error).__name__, error)
print(sorted(name for name in ("psycopg", "redis") if sys.modules.get(name)))
"""


def without(package: str, port: str, url: str) -> tuple[str, str]:
    """Open a port in a Python that lacks the package; return what was said and imported."""
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, package, port, url],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    said, imported = done.stdout.splitlines()
    return said, imported


@pytest.mark.parametrize(
    ("package", "url", "extra"),
    [
        ("redis", "redis://h", "redis"),
        ("redis", "rediss://h", "redis"),
        ("psycopg", "postgresql://h/d", "postgres"),
    ],
)
def test_a_driver_whose_extra_is_missing_names_it(package: str, url: str, extra: str) -> None:
    said, _ = without(package, "lock_store", url)
    scheme = url.partition(":")[0]
    expected = f"{scheme}:// needs the package {package}: pip install 'concordant[{extra}]'"
    assert said == f"UsageError {expected}"


def test_a_package_that_cannot_be_loaded_for_what_it_lacks_names_the_extra_too() -> None:
    # As psycopg does without libpq.
    said, _ = without("psycopg.pq", "lock_store", "postgresql://h/d")
    assert said.startswith("UsageError postgresql:// needs ")
    assert said.endswith("pip install 'concordant[postgres]'")


@pytest.mark.parametrize("url", ["redis://h", "memory://x"])
def test_what_a_backend_cannot_do_is_said_though_other_extras_are_missing(url: str) -> None:
    said, imported = without("psycopg", "participant", url)
    assert said.startswith(f"GuaranteeUnavailable {url} cannot be a participant in two-phase")
    assert "use postgresql:// (pip install 'concordant[postgres]'), sqlite://" in said
    assert imported == "[]"


def test_an_unknown_scheme_is_told_what_there_is_and_how_to_install_it() -> None:
    with pytest.raises(UsageError) as caught:
        registry.lock_store("postgres://user:hunter2@h/d")
    said = str(caught.value)
    assert said.startswith("no driver for postgres://; known are memory://, postgresql://")
    for extra in ("postgres", "redis"):
        assert f"pip install 'concordant[{extra}]'" in said
    assert "hunter2" not in said


def test_every_way_to_write_a_scheme_is_known() -> None:
    for url in ("redis://h", "rediss://h", "POSTGRESQL://h/d", "memory://x", "sqlite:///x"):
        registry.check_scheme(url)


def test_that_nobody_can_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        registry, "_DRIVERS", {"redis": registry._Driver("nowhere", "redis", ("lock_store",))}
    )
    with pytest.raises(GuaranteeUnavailable, match=r"redis://h cannot be .*; no backend of this"):
        registry.participant("redis://h")
