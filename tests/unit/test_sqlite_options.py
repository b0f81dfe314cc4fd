"""sqlite:// URLs: what they say, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from concordant.drivers import registry
from concordant.drivers.sqlite.options import SqliteOptions
from concordant.errors import UsageError


def test_a_url_names_a_file_and_how_long_to_wait() -> None:
    assert SqliteOptions.parse("sqlite:///a/b.db") == SqliteOptions("/a/b.db", 10.0)
    assert SqliteOptions.parse("sqlite:///a/b%20c.db?wait_s=2.5") == SqliteOptions("/a/b c.db", 2.5)


def test_a_relative_path_is_fixed_when_the_url_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = SqliteOptions.parse("sqlite:///./x.db")
    monkeypatch.chdir("/")
    assert options.path == str(tmp_path / "x.db")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite:///a.db?sync=off", "unknown parameter sync"),
        ("sqlite:///a.db?wait_s=0", "wait_s"),
        ("sqlite:///a.db?wait_s=soon", "wait_s"),
        ("sqlite:///a.db?wait_s=nan", "wait_s"),
        ("sqlite:///a.db?wait_s=1e9", "wait_s"),
        ("sqlite://host/a.db", "three slashes"),
        ("sqlite://", "no file"),
    ],
)
def test_anything_else_is_refused_without_io(url: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        registry.lock_store(url)
    with pytest.raises(UsageError, match=why):
        registry.transaction_log(url)
